//! What is asked of the network for a transfer or a document, and what is heard of it while it is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kithara_net::{NetEvent, Observer, RangeSpec, Request};
use tokio::sync::mpsc;

use crate::passage::Passage;
use crate::{Fetch, FetchId, Input, Load};

/// The request of a transfer, which tells `wire` of what goes on below it.
pub(crate) fn of_fetch(fetch: &Fetch, wire: mpsc::UnboundedSender<Input>) -> Request {
    Request::get(fetch.url.clone())
        .with_range(Passage::new(fetch).range())
        .with_if_range(fetch.if_range.clone())
        .with_zone(fetch.terms.zone)
        .with_attempts(fetch.attempts)
        .with_observer(observer(fetch.id, fetch.terms.shift, wire))
}

/// The request of a document.
pub(crate) fn of_load(load: &Load, wire: mpsc::UnboundedSender<Input>) -> Request {
    Request::get(load.url.clone())
        .with_purpose(load.purpose)
        .with_headers(load.headers.clone())
        .with_zone(load.zone)
        .with_attempts(load.attempts)
        .with_observer(observer(load.id, 0, wire))
}

/// Tells of retries and requests, in offsets that begin `shift` bytes into what the URL names.
fn observer(id: FetchId, shift: u64, wire: mpsc::UnboundedSender<Input>) -> Observer {
    let redirected = AtomicBool::new(false);
    Observer::new(move |event| {
        let input = match event {
            NetEvent::Retrying {
                attempt,
                delay,
                error,
            } => Input::Retrying {
                fetch: id,
                attempt: *attempt,
                delay: *delay,
                error: Arc::clone(error),
            },
            NetEvent::RequestSent { range, .. } if !redirected.swap(false, Ordering::Relaxed) => {
                let RangeSpec { start, end } = range.unwrap_or(RangeSpec::from(shift));
                let end = end.map_or(u64::MAX, |end| end.saturating_sub(shift));
                Input::Sent {
                    fetch: id,
                    range: start.saturating_sub(shift)..end,
                }
            }
            NetEvent::Redirected { .. } => return redirected.store(true, Ordering::Relaxed),
            _ => return,
        };
        // The driver is gone only when nobody wants to know any more.
        let _ = wire.send(input);
    })
}
