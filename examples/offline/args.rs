//! The command line.

use std::path::PathBuf;

use lexopt::prelude::*;

pub const USAGE: &str = "\
usage: offline [--cache DIR] [COMMAND]

  (none)         a tour on a built-in server: fetch, list, pin, evict, play without it
  fetch URL...   download all of each URL into the cache
  list           what the cache has
  pin URL        keep a title whatever happens; unpin URL lets it go again
  remove URL     remove a title; clear removes all that is neither pinned nor open
  play URL       decode a title and count what was asked of the network

  --cache DIR    the cache's folder; by default the one all programs of this user share";

pub enum Command {
    Tour,
    Fetch(Vec<String>),
    List,
    Pin(String),
    Unpin(String),
    Remove(String),
    Clear,
    Play(String),
}

pub struct Args {
    pub cache: Option<PathBuf>,
    pub command: Command,
}

impl Args {
    /// `None` if help was asked for.
    pub fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut cache = None;
        let mut words = Vec::new();
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("cache") => cache = Some(PathBuf::from(parser.value()?)),
                Value(word) => words.push(word.string()?),
                _ => return Err(arg.unexpected()),
            }
        }
        let command = command(words)?;
        Ok(Some(Self { cache, command }))
    }
}

fn command(words: Vec<String>) -> Result<Command, lexopt::Error> {
    let mut words = words.into_iter();
    let Some(name) = words.next() else {
        return Ok(Command::Tour);
    };
    let mut urls: Vec<String> = words.collect();
    let takes = match name.as_str() {
        "list" | "clear" => 0..=0,
        "fetch" => 1..=usize::MAX,
        "pin" | "unpin" | "remove" | "play" => 1..=1,
        other => return Err(format!("unknown command {other:?}").into()),
    };
    if !takes.contains(&urls.len()) {
        return Err(format!("{name} does not take {} URLs", urls.len()).into());
    }
    Ok(match (name.as_str(), urls.pop()) {
        ("list", _) => Command::List,
        ("pin", Some(url)) => Command::Pin(url),
        ("unpin", Some(url)) => Command::Unpin(url),
        ("remove", Some(url)) => Command::Remove(url),
        ("play", Some(url)) => Command::Play(url),
        (_, Some(last)) => {
            urls.push(last);
            Command::Fetch(urls)
        }
        (_, None) => Command::Clear,
    })
}
