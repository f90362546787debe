//! Plays any URL or path through the speakers.
//!
//! `cargo run --release --features playback --example play -- [URL|PATH]`
//!
//! Space pauses and resumes, the arrow keys seek by ten seconds, `q` quits.

use std::time::Duration;

use crossterm::event::{Event, KeyCode, poll, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use kithara::prelude::*;
use kithara_examples::Demo;

const STEP: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = match std::env::args().nth(1) {
        Some(source) => ResourceConfig::new(source)?,
        // Its server is gone with the program, so nothing of it is worth keeping.
        None => ResourceConfig::new(Demo::start()?.url())?.without_store(),
    };
    let resource = Resource::blocking(config)?;
    let control = resource.control();
    let total = resource.duration().map(MediaDuration::value);
    println!(
        "{} Hz, {} channels",
        resource.spec().sample_rate,
        resource.spec().channels
    );
    println!("space: pause, left and right: seek, q: quit");

    let sink = rodio::DeviceSinkBuilder::open_default_sink()?;
    let player = rodio::Player::connect_new(sink.mixer());
    player.append(resource.into_source());

    enable_raw_mode()?;
    let outcome = listen(&control, &player, total);
    disable_raw_mode()?;
    println!();
    outcome
}

fn listen(
    control: &Control,
    player: &rodio::Player,
    total: Option<Duration>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut paused = false;
    while !player.empty() {
        let position = control.position();
        match total {
            Some(total) => print!(
                "\r{:6.1} of {:.1} s ",
                position.as_secs_f64(),
                total.as_secs_f64()
            ),
            None => print!("\r{:6.1} s ", position.as_secs_f64()),
        }
        std::io::Write::flush(&mut std::io::stdout())?;
        if !poll(Duration::from_millis(200))? {
            continue;
        }
        let Event::Key(key) = read()? else { continue };
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => break,
            KeyCode::Char(' ') => {
                paused = !paused;
                if paused {
                    control.pause();
                } else {
                    control.resume();
                }
            }
            KeyCode::Right => drop(control.seek(position + STEP, SeekMode::Fast)?),
            KeyCode::Left => drop(control.seek(position.saturating_sub(STEP), SeekMode::Fast)?),
            _ => {}
        }
    }
    Ok(())
}
