//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use kithara::{AbrMode, GapPolicy};
use lexopt::prelude::*;

pub const USAGE: &str = "\
usage: hls [SOURCE] [--variant I|--max-bandwidth N] [--seek S] [--seconds N] [--gap silence|skip|stop] [--json] [--cache DIR]

  SOURCE           a URL or a path of a playlist; without it a built-in stream over a link that is slow, fast, and slow again
  --variant I      this variant and no other, counted from 0
  --max-bandwidth N  no variant of more bits per second
  --seek S         begin S seconds into the title
  --seconds N      stop after N seconds of it; a live stream has no end of its own
  --gap POLICY     what stands for segments that cannot be had
  --json           one line of figures instead of the summary
  --cache DIR      keep what is fetched in DIR, and look there first; without it nothing is kept";

pub struct Args {
    pub url: Option<String>,
    pub mode: AbrMode,
    pub seek: Option<Duration>,
    pub length: Option<Duration>,
    pub gap: Option<GapPolicy>,
    pub json: bool,
    pub cache: Option<PathBuf>,
}

impl Args {
    /// `None` if help was asked for.
    pub fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut args = Self {
            url: None,
            mode: AbrMode::default(),
            seek: None,
            length: None,
            gap: None,
            json: false,
            cache: None,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("variant") => args.mode = AbrMode::Manual(parser.value()?.parse()?),
                Long("max-bandwidth") => args.mode = AbrMode::Capped(parser.value()?.parse()?),
                Long("seek") => args.seek = Some(seconds(&mut parser)?),
                Long("seconds") => args.length = Some(seconds(&mut parser)?),
                Long("gap") => {
                    args.gap = Some(match parser.value()?.string()?.as_str() {
                        "silence" => GapPolicy::Silence,
                        "skip" => GapPolicy::Skip,
                        "stop" => GapPolicy::Stop,
                        other => return Err(format!("unknown policy {other:?}").into()),
                    });
                }
                Long("json") => args.json = true,
                Long("cache") => args.cache = Some(parser.value()?.into()),
                Value(url) if args.url.is_none() => args.url = Some(url.string()?),
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
