//! A stream at an origin that fails now and then, behind a link, for a listener with wishes of his own.

use std::time::Duration;

use kithara_hls::HlsCommand;

use super::playlists::{ENCRYPTED, KEY, Stream};
use super::world::{Answer, World};
use crate::script::Script;

/// What the listener does in one input.
const MOST_MOVES: usize = 24;
/// How long he stays at the end.
const LAST: Duration = Duration::from_secs(180);

pub(super) fn in_a_world(script: &mut Script<'_>) {
    let stream = Stream::new(script);
    let whole = Duration::from_secs(stream.target * (stream.kinds.len() as u64 + 2));
    let length = stream.target as f64;
    let (latency, rate) = (script.number(3_000), 2_000 + script.number(4 << 20));
    let (tells_length, outage) = (script.byte() & 1 == 0, script.chance(60));
    let (from, until) = (script.byte() / 4, script.byte() / 2);
    let path = if stream.variants > 1 {
        "m.m3u8"
    } else {
        "v0.m3u8"
    };
    let moods = Moods::new(script);
    let mut world = World::new(
        path,
        |config| super::configure(config, script),
        move |path, before, now| moods.answer(&stream, path, before, now),
    );
    world.latency = Duration::from_millis(latency);
    world.tells_length = tells_length;
    world.length = Box::new(move |path| if path.contains("init") { 0.0 } else { length });
    world.rate = Box::new(move |now| {
        let down = outage && (u64::from(from)..u64::from(until)).contains(&now.as_secs());
        if down { 0.0 } else { rate as f64 }
    });
    for _ in 0..MOST_MOVES {
        if script.is_over() {
            break;
        }
        make_a_move(&mut world, whole, script);
    }
    world.pace = 4.0;
    world.play(LAST);
}

fn make_a_move(world: &mut World, whole: Duration, script: &mut Script<'_>) {
    match script.choice(10) {
        0 => world.command(HlsCommand::Mode(super::mode(script))),
        1 | 2 if world.is_open() => {
            let share = f64::from(script.byte()) / 250.0;
            world.go_to(whole.mul_f64(share));
        }
        3 | 4 if world.is_open() => world.reject_behind(script.choice(4) / 2),
        5 => {
            world.pace = 0.0;
            world.play(Duration::from_millis(u64::from(script.byte()) * 400));
        }
        choice => {
            world.pace = [1.0, 2.0, 8.0, f64::INFINITY][choice % 4];
            world.play(Duration::from_millis(script.number(60_000)));
        }
    }
}

/// How often the origin fails, and how: of each 256 requests so many.
struct Moods {
    seed: u64,
    fails: u8,
    kinds: u8,
}

impl Moods {
    fn new(script: &mut Script<'_>) -> Self {
        let (seed, fails, kinds) = (script.byte().into(), script.byte(), script.byte());
        Self { seed, fails, kinds }
    }

    fn answer(&self, stream: &Stream, path: &str, before: usize, now: Duration) -> Answer {
        let text = format!("{} {path} {before}", self.seed);
        let mark = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let (luck, how) = ((mark >> 32) as u8, (mark >> 48) as usize);
        let bytes = bytes_of(stream, path, now);
        // Of which path anything fails is as much a matter of luck as when.
        if luck >= self.fails / 2 {
            return Answer::Bytes(bytes);
        }
        let kinds = (0..8).filter(|kind| self.kinds & 1 << kind != 0);
        let kinds: Vec<u8> = kinds.collect();
        let half = bytes.len() / 2;
        match kinds.get(how % kinds.len().max(1)) {
            Some(0) => Answer::Status(404),
            Some(1) => Answer::Status(403),
            Some(2) => Answer::Status(503),
            Some(3) => Answer::Silence,
            Some(4) => Answer::Broken(bytes, half),
            Some(5) => {
                let end = bytes.len();
                Answer::Broken(bytes, end)
            }
            Some(6) => Answer::Bytes(Vec::new()),
            Some(7) => Answer::Bytes(b"<html></html>".to_vec()),
            _ => Answer::Bytes(bytes),
        }
    }
}

fn bytes_of(stream: &Stream, path: &str, now: Duration) -> Vec<u8> {
    let variant = |path: &str| {
        path.as_bytes()
            .get(1)
            .map_or(0, |digit| usize::from(digit - b'0'))
    };
    match path {
        "m.m3u8" => stream.entry().into_bytes(),
        _ if path.ends_with(".m3u8") => stream.list(variant(path), now.as_secs()).into_bytes(),
        _ if path.starts_with("key") => KEY.to_vec(),
        _ if path.contains("init") => vec![1; 70],
        _ if path.contains("-e") => ENCRYPTED.to_vec(),
        _ => vec![7; stream.bytes as usize * (variant(path) + 1)],
    }
}
