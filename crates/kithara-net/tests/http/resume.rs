//! Bodies that die and go on, without sockets.

use std::sync::Arc;
use std::time::Duration;

use kithara_net::{
    Body, Etag, Net, NetError, NetEvent, NetExt, RangeSpec, RangeSupport, Request, Response,
    ResponseHead, RetryNet, RetryPolicy, TimeoutPhase, Url, Validators,
};
use tokio::time::Instant;

use crate::support::*;

const MIB: usize = 1024 * 1024;

fn url() -> Url {
    Url::parse("http://h.example/a/file?secret").unwrap()
}

fn etag(tag: &str) -> Validators {
    Validators {
        etag: Etag::parse(&format!("\"{tag}\"")),
        last_modified: None,
    }
}

/// What a response says of the bytes `start..` of `file`, ranges or not.
fn head(file: &[u8], start: usize, validators: &Validators) -> ResponseHead {
    let total = file.len() as u64;
    let mut head = match start {
        0 => ResponseHead::whole(&url(), total),
        start => ResponseHead::partial(&url(), start as u64, total, Some(total)),
    };
    head.validators = validators.clone();
    head
}

/// `file` from `start` on, breaking at `cut` if that comes first.
fn piece(
    file: &[u8],
    start: usize,
    cut: usize,
    validators: &Validators,
) -> Result<Response, NetError> {
    let head = head(file, start, validators);
    let body = match cut < file.len() {
        true => breaks_after(&file[start..cut], broken(&url())),
        false => Body::from_bytes(file[start..].to_vec()),
    };
    Ok(Response { head, body })
}

async fn read(fake: Fake) -> (Arc<Fake>, Vec<u8>, Option<NetError>) {
    let fake = Arc::new(fake);
    let net = Arc::clone(&fake).with_retry(RetryPolicy::default());
    let mut response = net.fetch(Request::get(url())).await.unwrap();
    let (bytes, error) = drain(&mut response.body).await;
    (fake, bytes, error)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_often_arrives_whole() {
    let file = noise(1000);
    let mut fake = Fake::default();
    for start in (0..1000).step_by(10) {
        let content = file.clone();
        fake = fake.then(move |request| {
            assert_eq!(request.range.map_or(0, |range| range.start), start as u64);
            piece(&content, start, start + 10, &etag("a"))
        });
    }
    let (fake, bytes, error) = read(fake).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(bytes, file);
    assert_eq!(
        fake.asked().len(),
        100,
        "progress renews the count of retries"
    );
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_changed_is_never_joined_to_its_past() {
    let (file, other) = (noise(300), noise(301));
    let date = |text: &str| Validators {
        etag: None,
        last_modified: Some(text.to_owned()),
    };
    let weak = |tag: &str| Validators {
        etag: Etag::parse(&format!("W/\"{tag}\"")),
        last_modified: None,
    };
    let cases = [
        (etag("a"), etag("b"), file.clone()),
        (date("x"), date("y"), file.clone()),
        (weak("a"), weak("b"), file.clone()),
        (etag("a"), etag("a"), other.clone()),
        (Validators::default(), Validators::default(), other),
    ];
    for (before, after, now) in cases {
        for whole in [false, true] {
            let (first, then, old, new) =
                (before.clone(), after.clone(), file.clone(), now.clone());
            let fake = Fake::default()
                .then(move |_| piece(&old, 0, 100, &first))
                .then(move |request| {
                    let start = if whole {
                        0
                    } else {
                        request.range.unwrap().start as usize
                    };
                    piece(&new, start, usize::MAX, &then)
                });
            let (_, bytes, error) = read(fake).await;
            assert_eq!(bytes, file[..100]);
            assert!(
                matches!(error, Some(NetError::ContentChanged { .. })),
                "{before:?} {after:?} {error:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_validator_the_join_is_compared() {
    let file = noise(300);
    for cut in [1, 63, 64, 65, 100, 299] {
        for (flip, whole) in [(false, false), (false, true), (true, false), (true, true)] {
            let (old, mut new) = (file.clone(), file.clone());
            new[cut - 1] ^= u8::from(flip);
            let none = Validators::default;
            let fake = Fake::default()
                .then(move |_| piece(&old, 0, cut, &none()))
                .then(move |request| {
                    let start = request.range.unwrap().start as usize;
                    assert_eq!(start, cut.saturating_sub(64));
                    piece(&new, if whole { 0 } else { start }, usize::MAX, &none())
                });
            let (_, bytes, error) = read(fake).await;
            match flip {
                false => assert!(error.is_none() && bytes == file, "{cut} {error:?}"),
                true => assert!(
                    matches!(error, Some(NetError::ContentChanged { what: "bytes", .. })),
                    "{cut} {error:?}"
                ),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_without_ranges_is_read_again_up_to_one_mebibyte() {
    for (cut, reachable) in [(1, true), (MIB, true), (MIB + 1, false), (2 * MIB, false)] {
        let file = noise(3 * MIB);
        let (old, new) = (file.clone(), file.clone());
        let fake = Fake::default()
            .then(move |_| piece(&old, 0, cut, &etag("a")))
            .then(move |_| piece(&new, 0, usize::MAX, &etag("a")));
        let (_, bytes, error) = read(fake).await;
        match reachable {
            true => assert!(error.is_none() && bytes == file, "{cut} {error:?}"),
            false => {
                assert!(
                    matches!(error, Some(NetError::RangeUnsupported { offset, .. }) if offset == cut as u64)
                );
                assert_eq!(bytes, file[..cut]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_known_to_have_no_ranges_is_not_asked_in_vain() {
    let file = noise(3 * MIB);
    let fake = Fake::default().then(move |_| {
        let mut response = piece(&file, 0, 2 * MIB, &etag("a"))?;
        response.head.ranges = RangeSupport::No;
        Ok(response)
    });
    let (fake, _, error) = read(fake).await;
    assert!(
        matches!(error, Some(NetError::RangeUnsupported { .. })),
        "{error:?}"
    );
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_length_resumes_and_may_turn_out_to_be_complete() {
    for total in [100, 101, 99] {
        let fake = Fake::default()
            .then(|_| {
                let mut head = ResponseHead::new(200, &url());
                head.validators = etag("a");
                Ok(Response {
                    head,
                    body: breaks_after(&[7; 100], broken(&url())),
                })
            })
            .then(move |request| {
                assert_eq!(request.range, Some(RangeSpec::from(100)));
                Err(NetError::RangeNotSatisfiable {
                    url: (&url()).into(),
                    total: Some(total),
                })
            });
        let (_, bytes, error) = read(fake).await;
        assert_eq!(bytes, [7; 100]);
        match total {
            100 => assert!(error.is_none(), "{error:?}"),
            _ => assert!(
                matches!(error, Some(NetError::ContentChanged { .. })),
                "{error:?}"
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_is_resumed_within_its_own_end() {
    let file = noise(1000);
    let (first, second) = (file.clone(), file.clone());
    let answer = move |file: &[u8], start: usize, cut: usize| {
        let mut head = ResponseHead::partial(&url(), start as u64, 300, Some(1000));
        head.validators = etag("a");
        Ok(Response {
            head,
            body: breaks_after(&file[start..cut], broken(&url())),
        })
    };
    let fake = Fake::default()
        .then(move |_| answer(&first, 100, 150))
        .then(move |request| {
            assert_eq!(request.range, Some(RangeSpec::new(150, 300)));
            answer(&second, 150, 300)
        });
    let net = fake.with_retry(RetryPolicy::default());
    let (head, bytes) = download(
        &net,
        Request::get(url()).with_range(RangeSpec::new(100, 300)),
    )
    .await
    .unwrap();
    assert_eq!((head.start, head.end), (100, Some(300)));
    assert_eq!(bytes, file[100..300]);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_ends_within_a_minute_and_seven_requests() {
    for slow in [Duration::ZERO, Duration::from_secs(20)] {
        struct Dead(Duration, std::sync::atomic::AtomicU32);
        #[async_trait::async_trait]
        impl Net for Dead {
            async fn fetch(&self, _: Request) -> Result<Response, NetError> {
                self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::time::sleep(self.0).await;
                Err(NetError::Timeout {
                    url: (&url()).into(),
                    phase: TimeoutPhase::Connect,
                })
            }
        }
        let net = Arc::new(Dead(slow, 0.into()));
        let started = Instant::now();
        let error = Arc::clone(&net)
            .with_retry(RetryPolicy::default())
            .fetch(Request::get(url()))
            .await
            .unwrap_err();
        assert!(matches!(error.root(), NetError::Timeout { .. }));
        assert!(
            matches!(error, NetError::RetryExhausted { .. }),
            "{error:?}"
        );
        // The budget counts from the first failure; one attempt may still be under way when it ends.
        assert!(
            started.elapsed() <= Duration::from_secs(60) + 2 * slow,
            "{:?}",
            started.elapsed()
        );
        let requests = net.1.load(std::sync::atomic::Ordering::Relaxed);
        assert!(
            requests <= 7 && (slow > Duration::ZERO || requests == 7),
            "{requests}"
        );
    }
}

/// A link that is up for ten seconds and down for ten, and brings a kilobyte a second while it is up.
#[derive(Clone)]
struct Flapping {
    file: Vec<u8>,
    since: Instant,
}

impl Flapping {
    fn is_up(&self) -> bool {
        (self.since.elapsed().as_secs() / 10).is_multiple_of(2)
    }
}

#[async_trait::async_trait]
impl Net for Flapping {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        if !self.is_up() {
            return Err(broken(&url()));
        }
        let start = request.range.map_or(0, |range| range.start as usize);
        let link = Arc::new(self.clone());
        let bytes = futures_util::stream::unfold(start, move |at| {
            let link = Arc::clone(&link);
            async move {
                let end = link.file.len().min(at + 1000);
                tokio::time::sleep(Duration::from_secs(1)).await;
                let chunk = match link.is_up() {
                    true => Ok(link.file[at..end].to_vec().into()),
                    false => Err(broken(&url())),
                };
                (at < end).then_some((chunk, end))
            }
        });
        let head = head(&self.file, start, &etag("a"));
        let body = Body::from_stream(bytes);
        Ok(Response { head, body })
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_flaps_loses_nothing() {
    for _ in 0..20 {
        let file = noise(60_000);
        let since = Instant::now();
        let link = Flapping {
            file: file.clone(),
            since,
        };
        let net = RetryNet::new(link, RetryPolicy::default());
        let (_, bytes) = download(&net, Request::get(url())).await.unwrap();
        assert!(bytes == file);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_server_asked_for_is_kept_and_can_be_dropped() {
    let busy = |seconds| {
        move |_: &Request| {
            let retry_after = Some(Duration::from_secs(seconds));
            Err(NetError::Http {
                url: (&url()).into(),
                status: 503,
                retry_after,
            })
        }
    };
    let fake = Fake::default()
        .then(busy(20))
        .then(|_| piece(&[1], 0, usize::MAX, &etag("a")));
    let started = Instant::now();
    let net = fake.with_retry(RetryPolicy::default());
    download(&net, Request::get(url())).await.unwrap();
    let waited = started.elapsed();
    assert!((20..=22).contains(&waited.as_secs()), "{waited:?}");

    let fake = Arc::new(Fake::default().then(busy(50)));
    let net = Arc::clone(&fake).with_retry(RetryPolicy::default());
    let cancelled =
        tokio::time::timeout(Duration::from_secs(1), net.fetch(Request::get(url()))).await;
    assert!(cancelled.is_err());
    drop(net);
    assert_eq!(
        Arc::strong_count(&fake),
        1,
        "nothing goes on behind the caller's back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body_holds_nothing() {
    let file = noise(100);
    let fake = Arc::new(Fake::default().then(move |_| piece(&file, 0, 50, &etag("a"))));
    let net = RetryNet::new(Arc::clone(&fake), RetryPolicy::default());
    let mut response = net.fetch(Request::get(url())).await.unwrap();
    response.body.chunk().await.unwrap();
    assert!(
        tokio::time::timeout(Duration::ZERO, response.body.chunk())
            .await
            .is_err(),
        "it is backing off"
    );
    drop((response, net));
    assert_eq!(Arc::strong_count(&fake), 1);
}

#[tokio::test(start_paused = true)]
async fn every_retry_is_heard_with_its_reason() {
    let file = noise(100);
    let content = file.clone();
    let fake = Fake::default()
        .then(|_| Err(broken(&url())))
        .then(move |_| piece(&file, 0, 50, &etag("a")))
        .then(|_| {
            Err(NetError::Http {
                url: (&url()).into(),
                status: 502,
                retry_after: None,
            })
        })
        .then(move |_| piece(&content, 50, usize::MAX, &etag("a")));
    let (observer, heard) = recorder();
    let net = fake.with_retry(RetryPolicy::default());
    download(&net, Request::get(url()).with_observer(observer))
        .await
        .unwrap();
    let heard: Vec<_> = heard
        .lock()
        .unwrap()
        .iter()
        .map(|event| match event {
            NetEvent::Retrying { attempt, error, .. } => {
                assert!(!printed(&**error).contains("secret"));
                format!("retry {attempt}")
            }
            NetEvent::Resumed { at } => format!("resumed {at}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heard, ["retry 1", "retry 1", "retry 2", "resumed 50"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_good_is_not_retried_and_not_wrapped() {
    let fake = Arc::new(Fake::default().then(|_| {
        Err(NetError::Http {
            url: (&url()).into(),
            status: 404,
            retry_after: None,
        })
    }));
    let error = Arc::clone(&fake)
        .with_retry(RetryPolicy::default())
        .fetch(Request::get(url()))
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::Http { status: 404, .. }));
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_looks_elsewhere_does_not_start_the_request_over() {
    struct Slow(std::sync::atomic::AtomicU32);
    #[async_trait::async_trait]
    impl Net for Slow {
        async fn fetch(&self, request: Request) -> Result<Response, NetError> {
            if self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                return piece(&[1; 100], 0, 50, &etag("a"));
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            piece(
                &[1; 100],
                request.range.unwrap().start as usize,
                usize::MAX,
                &etag("a"),
            )
        }
    }
    let net = Arc::new(Slow(0.into()));
    let retrying = Arc::clone(&net).with_retry(RetryPolicy::default());
    let mut response = retrying.fetch(Request::get(url())).await.unwrap();
    let mut bytes = 0;
    loop {
        match tokio::time::timeout(Duration::from_millis(10), response.body.chunk()).await {
            Ok(Ok(Some(chunk))) => bytes += chunk.len(),
            Ok(end) => break assert!(end.unwrap().is_none()),
            Err(_) => {}
        }
    }
    assert_eq!(bytes, 100);
    assert_eq!(net.0.load(std::sync::atomic::Ordering::Relaxed), 2);
}
