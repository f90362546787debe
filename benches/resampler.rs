//! What each resampler quality does to the sound, and what it costs.
//!
//! Tones go through a resampler; what comes out at their own pitch is compared with what went in, and what comes out beside
//! it is aliasing. The cost is instructions for a frame of stereo, counted in a child process under callgrind.

use std::f64::consts::TAU;
use std::num::{NonZeroU16, NonZeroU32};
use std::process::ExitCode;

use kithara::ResamplerQuality;
use kithara::audio::ResamplerProcessor;
use kithara_benches::{AnyError, Bounds, callgrind, child};

/// Each quality, its name, and what is promised: ripple up to its passband and aliases, in decibels, and where the passband
/// ends, in thousandths of the lower rate.
const QUALITIES: [(ResamplerQuality, &str, f64, f64, u32); 5] = [
    (ResamplerQuality::Fast, "fast", 0.5, 0.0, 100),
    (ResamplerQuality::Normal, "normal", 0.1, -60.0, 330),
    (ResamplerQuality::Good, "good", 0.1, -80.0, 410),
    (ResamplerQuality::High, "high", 0.1, -100.0, 480),
    (ResamplerQuality::Maximum, "maximum", 0.1, -100.0, 490),
];
const PAIRS: [(u32, u32); 2] = [(44_100, 48_000), (48_000, 44_100)];
/// Frames that are resampled to count instructions.
const COUNTED: usize = 441_000;

fn main() -> ExitCode {
    if let Some((role, args)) = child::role() {
        return match work(&role, &args) {
            Ok(samples) => {
                println!("{samples}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{role}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let mut bounds = Bounds::new("resampler: what each quality does, and costs");
    let outcome = measure(&mut bounds);
    bounds.verdict(outcome)
}

fn measure(bounds: &mut Bounds) -> Result<(), AnyError> {
    for (quality, name, ripple, aliases, end) in QUALITIES {
        for (from, to) in PAIRS {
            let title = format!("{name}, {from} to {to}");
            let lower = f64::from(from.min(to));
            let (found, level) = passband(quality, from, to, lower * f64::from(end) / 1000.0)?;
            let what = format!("{title}: ripple below {} Hz", level.round());
            bounds.at_most(&what, found, ripple, "dB");
            let what = format!("{title}: loudest alias");
            bounds.at_most(&what, alias(quality, from, to)?, aliases, "dB");
            let resampler = resampler(quality, from, to, 1)?;
            let millis = resampler.delay() as f64 * 1000.0 / f64::from(from);
            bounds.note(
                &format!("{title}: looks ahead"),
                &format!("{} frames, {millis:.1} ms", resampler.delay()),
            );
        }
    }
    if !callgrind::is_installed() {
        println!("valgrind is not installed: the cost was not measured");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    for (_, name, ..) in QUALITIES {
        let count = |frames: usize| -> Result<f64, AnyError> {
            let profile = folder.path().join(format!("{name}-{frames}.callgrind"));
            let line = child::command_line(name, &[&frames.to_string()])?;
            Ok(callgrind::instructions(&line, &profile)? as f64)
        };
        // What building it costs is not counted.
        let cost = (count(COUNTED)? - count(COUNTED / 2)?) / (COUNTED / 2) as f64;
        let built = count(0)?;
        bounds.note(
            &format!("{name}, 44100 to 48000: a frame of stereo"),
            &format!("{cost:.0} instructions; {:.1} M to build", built / 1e6),
        );
    }
    Ok(())
}

/// Resamples noise of so many frames in the quality of this name.
fn work(role: &str, args: &[String]) -> Result<usize, AnyError> {
    let frames: usize = args.first().ok_or("how many frames?")?.parse()?;
    let quality = QUALITIES.iter().find(|(_, name, ..)| *name == role);
    let (quality, ..) = quality.ok_or("no such quality")?;
    let mut noise = 1u32;
    let block: Vec<f32> = (0..8192)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect();
    let mut resampler = resampler(*quality, 44_100, 48_000, 2)?;
    let (mut out, mut done, mut made) = (Vec::new(), 0, 0);
    while done < frames * 2 {
        done += resampler.process(&block, &mut out);
        std::hint::black_box(&out);
        made += out.len();
        out.clear();
    }
    Ok(made)
}

fn resampler(
    quality: ResamplerQuality,
    from: u32,
    to: u32,
    channels: u16,
) -> Result<ResamplerProcessor, AnyError> {
    let rate = |hertz| NonZeroU32::new(hertz).ok_or("a rate");
    let channels = NonZeroU16::new(channels).ok_or("channels")?;
    Ok(ResamplerProcessor::new(
        rate(from)?,
        rate(to)?,
        channels,
        quality,
    )?)
}

/// A tone of full scale after it went through, without its ends: half a second.
fn tone(quality: ResamplerQuality, from: u32, to: u32, hertz: f64) -> Result<Vec<f64>, AnyError> {
    let mut resampler = resampler(quality, from, to, 1)?;
    let input: Vec<f32> = (0..from)
        .map(|frame| (f64::from(frame) / f64::from(from) * hertz * TAU).sin() as f32)
        .collect();
    let (mut out, mut done) = (Vec::new(), 0);
    while done < input.len() {
        done += resampler.process(&input[done..], &mut out);
    }
    while resampler.finish(&mut out) {}
    let quarter = to as usize / 4;
    Ok(out[quarter..3 * quarter]
        .iter()
        .map(|sample| f64::from(*sample))
        .collect())
}

/// Amplitude at a pitch that has whole periods in the samples, and the power of everything else, over half full scale.
fn split(samples: &[f64], rate: u32, hertz: f64) -> (f64, f64) {
    let count = samples.len() as f64;
    let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
    for (frame, sample) in samples.iter().enumerate() {
        let phase = frame as f64 / f64::from(rate) * hertz * TAU;
        sine += sample * phase.sin();
        cosine += sample * phase.cos();
        power += sample * sample;
    }
    let amplitude = 2.0 * sine.hypot(cosine) / count;
    let rest = (2.0 * power / count - amplitude * amplitude).max(1e-20);
    (amplitude, rest)
}

fn decibels(amplitude: f64) -> f64 {
    20.0 * amplitude.log10()
}

/// The largest deviation from full scale in decibels up to a pitch, and that pitch.
fn passband(
    quality: ResamplerQuality,
    from: u32,
    to: u32,
    end: f64,
) -> Result<(f64, f64), AnyError> {
    let mut worst = 0.0f64;
    let steps = 24;
    let mut last = 0.0;
    for step in 1..=steps {
        // Whole periods in half a second.
        last = (end * f64::from(step) / f64::from(steps) / 2.0).floor() * 2.0;
        let samples = tone(quality, from, to, last)?;
        worst = worst.max(decibels(split(&samples, to, last).0).abs());
    }
    Ok((worst, last))
}

/// The loudest of what comes out beside tones that can be kept, and at all of those that cannot, in decibels.
fn alias(quality: ResamplerQuality, from: u32, to: u32) -> Result<f64, AnyError> {
    let mut worst = 1e-20f64;
    for step in 1..40 {
        let hertz = (f64::from(from) / 2.0 * f64::from(step) / 40.0 / 2.0).floor() * 2.0;
        let samples = tone(quality, from, to, hertz)?;
        // Between the passband and half of the lower rate a tone fades; beyond that it must not be there at all.
        let (amplitude, rest) = split(&samples, to, hertz);
        worst = worst.max(if hertz < f64::from(to) / 2.0 {
            rest
        } else {
            amplitude * amplitude + rest
        });
    }
    Ok(10.0 * worst.log10())
}
