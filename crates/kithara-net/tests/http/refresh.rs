//! Access that is refused, and the caller's chance to renew it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kithara_net::{
    HeaderHook, Headers, HookRequest, HttpClient, Net, NetError, NetOptions, RangeSpec, Refreshed,
    Request, Url,
};

use crate::support::*;

/// Renews to these, one after another.
#[derive(Default)]
struct Renewing {
    fresh: Mutex<Vec<Refreshed>>,
    asked: AtomicUsize,
}

#[async_trait]
impl HeaderHook for Renewing {
    async fn refresh(&self, _: &HookRequest, status: u16) -> Option<Refreshed> {
        assert!(matches!(status, 401 | 403));
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.fresh.lock().unwrap().pop()
    }
}

fn renewing(urls: &[Url]) -> (HttpClient, Arc<Renewing>) {
    let fresh = urls.iter().rev().map(|url| Refreshed {
        url: url.clone(),
        headers: Headers::new().with("X-Token", "new").unwrap(),
    });
    let hook = Arc::new(Renewing {
        fresh: Mutex::new(fresh.collect()),
        asked: AtomicUsize::new(0),
    });
    let mut options = NetOptions::default();
    options.hook = Some(hook.clone());
    (HttpClient::new(options).unwrap(), hook)
}

/// Serves while the query says the number of this lifetime.
async fn expiring(status: u16, lifetime: Arc<AtomicUsize>) -> Server {
    Server::start(move |seen| {
        let wanted = format!("/f?{}", lifetime.load(Ordering::Relaxed));
        match seen.path() == wanted {
            true => serve_file(seen, b"0123456789", ""),
            false => reply(&format!("{status} X"), "", b""),
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn expired_access_is_renewed_once_and_remembered() {
    for status in [401, 403] {
        let lifetime = Arc::new(AtomicUsize::new(1));
        let server = expiring(status, Arc::clone(&lifetime)).await;
        let (client, hook) = renewing(&[server.url("/f?2")]);
        let get = || Request::get(server.url("/f?1")).with_range(RangeSpec::from(5));
        download(&client, get()).await.unwrap();
        lifetime.store(2, Ordering::Relaxed);
        for _ in 0..3 {
            let (_, bytes) = download(&client, get()).await.unwrap();
            assert_eq!(bytes, b"56789");
        }
        assert_eq!(hook.asked.load(Ordering::Relaxed), 1);
        assert_eq!(server.requests(), 5);
        assert_eq!(server.seen()[2].header("x-token"), Some("new"));
        // Nothing newer to be had.
        lifetime.store(3, Ordering::Relaxed);
        let error = client.fetch(get()).await.unwrap_err();
        assert!(
            matches!(error, NetError::Expired { status: got, .. } if got == status),
            "{error:?}"
        );
        assert!(!error.is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_does_not_help_is_not_repeated() {
    let server = expiring(403, Arc::new(AtomicUsize::new(9))).await;
    let (client, hook) = renewing(&[server.url("/f?2"), server.url("/f?9")]);
    let error = client
        .fetch(Request::get(server.url("/f?1")))
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::Expired { .. }), "{error:?}");
    assert_eq!(
        (server.requests(), hook.asked.load(Ordering::Relaxed)),
        (2, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn access_that_never_worked_is_refused_not_expired() {
    let server = expiring(403, Arc::new(AtomicUsize::new(9))).await;
    let error = client()
        .fetch(Request::get(server.url("/f?1")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, NetError::Http { status: 403, .. }),
        "{error:?}"
    );
    let (client, hook) = renewing(&[]);
    let error = client
        .fetch(Request::get(server.url("/f?1")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, NetError::Http { status: 403, .. }),
        "{error:?}"
    );
    assert_eq!(hook.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_had_nothing_is_asked_again_after_ten_seconds() {
    let server = expiring(403, Arc::new(AtomicUsize::new(9))).await;
    for renewals in [vec![], vec![server.url("/f?2"); 3]] {
        let (client, hook) = renewing(&renewals);
        let refused = async || {
            let request = Request::get(server.url("/f?1"));
            client.fetch(request).await.unwrap_err();
            hook.asked.load(Ordering::Relaxed)
        };
        assert_eq!((refused().await, refused().await), (1, 1));
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        assert_eq!((refused().await, refused().await), (2, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn access_that_worked_before_has_expired() {
    let lifetime = Arc::new(AtomicUsize::new(1));
    let server = expiring(403, Arc::clone(&lifetime)).await;
    let client = client();
    client
        .fetch(Request::get(server.url("/f?1")))
        .await
        .unwrap();
    lifetime.store(2, Ordering::Relaxed);
    let error = client
        .fetch(Request::get(server.url("/f?1")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, NetError::Expired { status: 403, .. }),
        "{error:?}"
    );
}
