//! Many clients of one server that turns all of them away, in virtual time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kithara_net::{Net, NetError, NetExt, RedactedUrl, Request, Response, RetryPolicy, Url};
use tokio::time::Instant;

/// Refuses everybody, and notes when each came.
struct Busy {
    came: Arc<Mutex<Vec<Instant>>>,
    retry_after: Option<Duration>,
}

#[async_trait]
impl Net for Busy {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        self.came.lock().unwrap().push(Instant::now());
        Err(NetError::Http {
            url: RedactedUrl::from(&request.url),
            status: 503,
            retry_after: self.retry_after,
        })
    }
}

/// When each of a thousand clients that ask at once asks for the `n`-th time.
async fn comes(n: usize, retry_after: Option<Duration>) -> Vec<Duration> {
    let url = Url::parse("http://h.example/f").unwrap();
    let began = Instant::now();
    let clients: Vec<_> = (0..1000)
        .map(|_| {
            let came = Arc::<Mutex<Vec<Instant>>>::default();
            let busy = Busy {
                came: Arc::clone(&came),
                retry_after,
            };
            let request = Request::get(url.clone());
            let asks = tokio::spawn(async move {
                let net = busy.with_retry(RetryPolicy::default());
                net.fetch(request).await.unwrap_err()
            });
            (asks, came)
        })
        .collect();
    let mut times = Vec::new();
    for (asks, came) in clients {
        asks.await.unwrap();
        times.push(came.lock().unwrap()[n] - began);
    }
    times
}

/// Nothing is sent, so that the clock only moves to when somebody waits to be woken.
#[tokio::test(start_paused = true)]
async fn a_thousand_clients_that_are_turned_away_at_once_do_not_come_back_together() {
    for (n, retry_after) in [(4, None), (1, Some(Duration::from_secs(8)))] {
        let times = comes(n, retry_after).await;
        let mut slots = HashMap::<u128, usize>::new();
        for time in &times {
            *slots.entry(time.as_millis() / 10).or_default() += 1;
        }
        // Two seconds hold 200 slots of 10 ms, and so five clients each; chance puts thirty into one less than once in 10^13.
        let most = slots.values().max().unwrap();
        assert!(*most < 30, "{most} at once: {slots:?}");
        if let Some(wait) = retry_after {
            assert!(times.iter().all(|time| *time >= wait), "{times:?}");
        }
    }
}
