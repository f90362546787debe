//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

pub const USAGE: &str = "\
usage: pcm [SOURCE] [-o FILE|-] [--format wav|f32le] [--start S] [--len S] [--rate HZ]
           [--json] [--events] [--cache DIR|--no-cache] [--demo hls|mp3]

  SOURCE           a URL or a path; without it a built-in demo over a slow link
  -o FILE          write the samples to FILE; `-o -` writes raw f32le to standard output
  --format FORMAT  wav (default) or f32le; standard output is always f32le
  --start S        begin S seconds into the title
  --len S          stop after S seconds
  --rate HZ        resample to this rate
  --json           one line of figures instead of the summary (on standard error with `-o -`)
  --events         print what the library reports to standard error
  --cache DIR      keep what is fetched in DIR, and look there first; by default in the user's cache folder
  --no-cache       keep nothing; the built-in demo is kept only with --cache
  --demo KIND      which demo: hls (default), a stream whose variant follows the link, or mp3, a file";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hls,
    Mp3,
}

pub enum Cache {
    Default,
    Folder(PathBuf),
    Off,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Wav,
    F32le,
}

pub enum Target {
    Nowhere,
    Stdout,
    File(PathBuf),
}

pub struct Args {
    pub source: Option<String>,
    /// What is served if there is no source.
    pub demo: Kind,
    pub target: Target,
    pub format: Format,
    pub start: Duration,
    pub len: Option<Duration>,
    pub rate: Option<NonZeroU32>,
    pub json: bool,
    pub events: bool,
    pub cache: Cache,
}

impl Args {
    /// `None` if help was asked for.
    pub fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut args = Self {
            source: None,
            demo: Kind::Hls,
            target: Target::Nowhere,
            format: Format::Wav,
            start: Duration::ZERO,
            len: None,
            rate: None,
            json: false,
            events: false,
            cache: Cache::Default,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Short('o') | Long("output") => {
                    let target = parser.value()?;
                    args.target = if target == "-" {
                        Target::Stdout
                    } else {
                        Target::File(target.into())
                    };
                }
                Long("format") => {
                    args.format = match parser.value()?.string()?.as_str() {
                        "wav" => Format::Wav,
                        "f32le" => Format::F32le,
                        other => return Err(format!("unknown format {other:?}").into()),
                    };
                }
                Long("start") => args.start = seconds(&mut parser)?,
                Long("len") => args.len = Some(seconds(&mut parser)?),
                Long("rate") => args.rate = Some(parser.value()?.parse()?),
                Long("json") => args.json = true,
                Long("events") => args.events = true,
                Long("cache") => args.cache = Cache::Folder(parser.value()?.into()),
                Long("no-cache") => args.cache = Cache::Off,
                Long("demo") => {
                    args.demo = match parser.value()?.string()?.as_str() {
                        "hls" => Kind::Hls,
                        "mp3" => Kind::Mp3,
                        other => return Err(format!("unknown demo {other:?}").into()),
                    };
                }
                Value(source) if args.source.is_none() => args.source = Some(source.string()?),
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(Some(args))
    }
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    let seconds: f64 = parser.value()?.parse()?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| format!("{seconds} is not a time: {error}").into())
}
