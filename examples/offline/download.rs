//! Several downloads at once, a progress bar for each.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kithara::RecvError;
use kithara::file::{Amount, FileEvent};
use kithara::net::Url;
use kithara::prelude::*;

use crate::AnyError;

/// Downloads all of each title. The first failure is told when all have ended.
pub fn all(store: &AssetStore, urls: &[String]) -> Result<(), AnyError> {
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {bytes}/{total_bytes}")?;
    std::thread::scope(|scope| {
        let downloads: Vec<_> = urls
            .iter()
            .map(|url| {
                let bar = bars.add(ProgressBar::new(0).with_style(style.clone()));
                bar.set_prefix(name(url).to_owned());
                scope.spawn(move || one(store, url, &bar))
            })
            .collect();
        let mut outcome = Ok(());
        for (download, url) in downloads.into_iter().zip(urls) {
            let ended = match download.join() {
                Ok(Ok(title)) => {
                    let id = Url::parse(url).map(|url| store.asset(&url).to_string());
                    let id = id.unwrap_or_default();
                    println!("{}: {} bytes stored as {id}", name(url), title.stored);
                    Ok(())
                }
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err("a download panicked".into()),
            };
            outcome = outcome.and(ended);
        }
        outcome
    })
}

fn one(
    store: &AssetStore,
    url: &str,
    bar: &ProgressBar,
) -> Result<kithara::file::Prefetched, Error> {
    let config = ResourceConfig::new(url)?.with_store(store.clone());
    let events = config.events();
    std::thread::scope(|scope| {
        // It ends with the config's last sink, that is with the download.
        scope.spawn(move || show(events, bar));
        let done = Resource::prefetch_blocking(config, Amount::All);
        bar.finish();
        done
    })
}

fn show(mut events: Events<ResourceEvent>, bar: &ProgressBar) {
    loop {
        match events.recv_blocking() {
            Ok(ResourceEvent::File(
                FileEvent::DownloadProgress { stored, len } | FileEvent::Found { stored, len, .. },
            )) => {
                bar.set_length(len.unwrap_or(stored));
                bar.set_position(stored);
            }
            Ok(ResourceEvent::File(FileEvent::Retrying { error, .. })) => {
                bar.println(format!("offline: {error}; trying again"));
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// The last part of a URL's path.
fn name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}
