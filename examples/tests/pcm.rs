//! The example `pcm` as a program: its exit status, what it writes, and what it says where.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kithara_tests::fixtures::{Generated, formula_sample, long_wav};
use kithara_tests::server::{FaultServer, Gate, Script};

/// Far more than anything here takes; reached only by something that hangs.
const HANG: Duration = Duration::from_secs(60);
/// Frames that are decoded of a WAV at a time.
const PACKET: usize = 1152;
const HEADER: usize = 44;

/// The program with nothing of ours in its way. `cargo test` builds it beside this one: no variable says where it is.
fn pcm(args: &[&str]) -> Command {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(|deps| deps.parent()).unwrap();
    let program = format!("pcm{}", std::env::consts::EXE_SUFFIX);
    let program = profile.join("examples").join(program);
    assert!(
        program.is_file(),
        "{} is not there: `cargo test` builds it unless told to build only some targets, \
         `cargo build --example pcm` in any case",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .args(args)
        .arg("--no-cache")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running program. Dropping it ends it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs to the end, or fails when that does not come.
fn output(mut command: Command) -> Output {
    let mut running = Running(command.spawn().unwrap());
    let (out, err) = (
        collected(running.0.stdout.take().unwrap()),
        collected(running.0.stderr.take().unwrap()),
    );
    let stdout = out.recv_timeout(HANG).expect("it ends");
    let stderr = err.recv_timeout(HANG).expect("it ends");
    let status = running.0.wait().unwrap();
    Output {
        status,
        stdout,
        stderr,
    }
}

/// What a pipe brings to its end.
fn collected(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has ended.
        let _ = pipe.read_to_end(&mut bytes);
        // Whoever waited may have failed.
        let _ = send.send(bytes);
    });
    receive
}

/// What the first of these samples are as raw `f32le`.
fn raw(media: &Generated, frames: usize) -> Vec<u8> {
    let samples = (0..frames as u64)
        .flat_map(|frame| (0..media.channels).map(move |channel| formula_sample(frame, channel)));
    samples
        .flat_map(|sample| (f32::from(sample) / 32768.0).to_le_bytes())
        .collect()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_cut_file_is_written_up_to_its_cut_and_the_status_says_so() {
    const FRAMES: usize = 50_000;
    let media = long_wav(3);
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("cut.wav");
    fs::write(&source, &media.bytes[..HEADER + FRAMES * 4]).unwrap();
    let source = source.to_str().unwrap();
    let expected = raw(&media, FRAMES);

    let target = dir.path().join("out.raw");
    let target = target.to_str().unwrap();
    let ended = output(pcm(&[source, "--format", "f32le", "-o", target]));
    let said = words(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("pcm: "), "{said}");
    assert!(ended.stdout.is_empty(), "{}", words(&ended.stdout));
    assert!(
        fs::read(target).unwrap() == expected,
        "not the exact prefix"
    );

    // As a WAV its header states what was written.
    let target = dir.path().join("out.wav");
    let ended = output(pcm(&[source, "-o", target.to_str().unwrap()]));
    assert_eq!(ended.status.code(), Some(1), "{}", words(&ended.stderr));
    let written = hound::WavReader::open(&target).unwrap();
    assert_eq!(written.duration() as usize, FRAMES);
    let samples: Vec<u8> = written
        .into_samples::<f32>()
        .flat_map(|sample| sample.unwrap().to_le_bytes())
        .collect();
    assert!(samples == expected, "not the exact prefix");
}

#[test]
fn each_block_is_on_its_way_while_the_server_holds_the_next() {
    // Standard output keeps what follows the last line feed until it is flushed: there is one in every 64 frames, and never
    // at the end of any.
    let mut media = long_wav(8);
    let with_line_feed = 17_664_i16;
    for (index, sample) in media.bytes[HEADER..].chunks_exact_mut(2).enumerate() {
        let first = index.is_multiple_of(2 * 64);
        let value = if first { with_line_feed } else { 16_384 };
        sample.copy_from_slice(&value.to_le_bytes());
    }
    let expected: Vec<u8> = media.bytes[HEADER..]
        .chunks_exact(2)
        .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
        .flat_map(|sample| (f32::from(sample) / 32768.0).to_le_bytes())
        .collect();
    assert_eq!(expected[..4], [0, 0, b'\n', 0x3f]);
    let server = FaultServer::start();
    let gate = Gate::new();
    // Two packets can be decoded, the last block of which is short: nothing written later brings out what was not flushed.
    let frames = 2 * PACKET;
    let held_at = HEADER + (frames + 100) * 4;
    let script = Script::file(media.bytes.clone()).hold_at(held_at as u64, &gate);
    server.serve("/a.wav", script);
    let mut running = Running(pcm(&[&server.url("/a.wav"), "-o", "-"]).spawn().unwrap());
    let mut stdout = running.0.stdout.take().unwrap();
    let said = collected(running.0.stderr.take().unwrap());
    let (send, front) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut block = vec![0; frames * 8];
        stdout.read_exact(&mut block).unwrap();
        send.send(block.clone()).unwrap();
        stdout.read_to_end(&mut block).unwrap();
        block
    });
    gate.wait_held();
    let front = front.recv_timeout(HANG).expect("the first packets");
    assert!(!gate.is_open() && gate.holding() > 0, "the server holds");
    assert!(front == expected[..frames * 8], "the first packets");
    gate.open();
    let all = reader.join().unwrap();
    assert!(all == expected, "all of it");
    let said = words(&said.recv_timeout(HANG).expect("it ends"));
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "{said}");
}

#[test]
fn what_a_server_fails_to_bring_is_an_error_after_the_exact_samples() {
    const FRAMES: usize = 100_000;
    let media = long_wav(8);
    let server = FaultServer::start();
    // A part, honestly labelled, and then nothing any more.
    let part = Script::file(media.bytes.clone()).shorter_ranges((HEADER + FRAMES * 4) as u64);
    server.serve_sequence("/a.wav", [part, Script::of_status(404)]);
    let ended = output(pcm(&[&server.url("/a.wav"), "-o", "-", "--json"]));
    let said = words(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("404"), "{said}");
    assert!(ended.stdout == raw(&media, FRAMES), "not the exact prefix");
    // Standard output carries the samples, so the figures are beside them.
    assert!(said.lines().any(|line| line.starts_with('{')), "{said}");
}

#[test]
fn the_figures_are_one_line_with_every_key() {
    let media = long_wav(3);
    let server = FaultServer::start();
    server.serve("/a.wav", Script::file(media.bytes.clone()));
    let ended = output(pcm(&[&server.url("/a.wav"), "--json"]));
    assert!(ended.status.success(), "{}", words(&ended.stderr));
    let line = words(&ended.stdout);
    assert_eq!(line.lines().count(), 1, "{line}");
    let figures: serde_json::Value = serde_json::from_str(&line).unwrap();
    let number = |key: &str| {
        figures[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key}: {line}"))
    };
    assert_eq!(number("frames"), media.frames as f64);
    assert_eq!(number("rate"), 44_100.0);
    assert_eq!(number("channels"), 2.0);
    assert_eq!(number("bytes"), media.bytes.len() as f64);
    assert_eq!(number("requests"), server.requests().len() as f64);
    assert!(number("first_frame_ms") > 0.0);
    assert!(number("elapsed_ms") >= number("first_frame_ms"));
    if cfg!(target_os = "linux") {
        assert!(number("peak_memory_bytes") > 0.0);
    }
    assert!(figures["codec"].as_str().unwrap().contains("WAV"), "{line}");
}

#[test]
fn a_stretch_is_cut_out_to_the_frame() {
    let media = long_wav(3);
    let dir = tempfile::tempdir().unwrap();
    let source: PathBuf = dir.path().join("a.wav");
    fs::File::create(&source)
        .and_then(|mut file| file.write_all(&media.bytes))
        .unwrap();
    let source = source.to_str().unwrap();
    let ended = output(pcm(&[source, "-o", "-", "--start", "1", "--len", "0.5"]));
    assert!(ended.status.success(), "{}", words(&ended.stderr));
    let all = raw(&media, 44_100 + 22_050);
    assert!(ended.stdout == all[44_100 * 8..], "not that stretch");
}

/// The lines of `--events` that tell of another variant: from which to which.
fn switches(said: &str) -> Vec<(usize, usize)> {
    let number = |line: &str, before: &str| {
        let (_, rest) = line.split_once(before)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let changes = said.lines().filter(|line| line.contains("VariantChanged"));
    changes
        .filter_map(|line| Some((number(line, "from: Some(")?, number(line, "to: ")?)))
        .collect()
}

#[test]
fn the_demo_is_whole_however_often_its_variant_changes() {
    // Eight bars and the ending, in whole packets: see `make_demo.py`.
    const FRAMES: u64 = 856 * 1024;
    let ended = output(pcm(&["--json", "--events"]));
    let said = words(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let figures: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(figures["frames"].as_u64(), Some(FRAMES), "{said}");
    let switches = switches(&said);
    assert_eq!(figures["switches"].as_u64(), Some(switches.len() as u64));
    // Variants are in the order of what they take. How far up it goes is the machine's business, too.
    // How often depends on what else this machine does.
    assert!(!switches.is_empty(), "{said}");
    assert!(!said.contains("SilenceInserted"), "{said}");
}

#[test]
fn the_demo_of_one_file_is_whole() {
    let ended = output(pcm(&["--json", "--demo", "mp3"]));
    let said = words(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let figures: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(figures["frames"].as_u64(), Some(687_960), "{said}");
    assert_eq!(figures["switches"].as_u64(), Some(0), "{said}");
}
