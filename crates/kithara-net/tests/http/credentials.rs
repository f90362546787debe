//! Who gets to see a caller's headers, and where secrets never show.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kithara_net::{
    HeaderHook, Headers, HookRequest, HttpClient, Net, NetExt, NetOptions, Origin, Proxy,
    Refreshed, Request, Url,
};

use crate::support::*;

const CANARY: &str = "c4n4ry";

fn to(location: &str) -> Vec<Step> {
    reply(
        "302 Found",
        &format!("Location: {location}\r\nSet-Cookie: id={CANARY}\r\n"),
        b"",
    )
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_another_origin_carries_none_of_the_callers_headers() {
    let thief = Server::start(|_| reply("200 OK", "", b"x")).await;
    let target = thief.url("/x").to_string();
    let home = Server::start(move |seen| match seen.path() {
        "/away" => to(&target),
        "/near" => to("/x"),
        _ => reply("200 OK", "", b"x"),
    })
    .await;
    let headers = Headers::new()
        .with("Authorization", CANARY)
        .and_then(|headers| headers.with("X-Api-Key", CANARY))
        .and_then(|headers| headers.with("Cookie", CANARY))
        .and_then(|headers| headers.with("Referer", CANARY))
        .unwrap();
    let client = client();
    // Twice: the second request goes to the remembered target.
    for _ in 0..2 {
        let request = Request::get(home.url("/away")).with_headers(headers.clone());
        client.get_bytes(request, 10).await.unwrap();
    }
    assert_eq!(thief.requests(), 2);
    for seen in thief.seen() {
        assert!(!seen.head.contains(CANARY), "{}", seen.head);
        assert_eq!(seen.header("referer"), None);
    }
    for _ in 0..2 {
        let request = Request::get(home.url("/near")).with_headers(headers.clone());
        client.get_bytes(request, 10).await.unwrap();
    }
    let near: Vec<_> = home
        .seen()
        .into_iter()
        .filter(|seen| seen.path() == "/x")
        .collect();
    assert_eq!(near.len(), 2);
    assert!(
        near.iter()
            .all(|seen| seen.header("x-api-key") == Some(CANARY))
    );
}

#[tokio::test(start_paused = true)]
async fn a_way_back_home_does_not_bring_the_headers_back() {
    let home = Server::start(|seen| match seen.path() {
        "/x" => reply("200 OK", "", b"x"),
        away => to(&format!("http://{}", &away[1..])),
    })
    .await;
    let target = home.url("/x").to_string();
    let stranger = Server::start(move |_| to(&target)).await;
    let url = home.url(&format!("/{}/go", stranger.address));
    let request = Request::get(url).with_headers(Headers::new().with("X-Api-Key", CANARY).unwrap());
    client().fetch(request).await.unwrap();
    assert_eq!(home.seen()[0].header("x-api-key"), Some(CANARY));
    assert_eq!(home.seen()[1].header("x-api-key"), None);
}

#[tokio::test(start_paused = true)]
async fn the_header_table_is_bound_to_origins() {
    let other = Server::start(|_| reply("200 OK", "", b"x")).await;
    let target = other.url("/x").to_string();
    let home = Server::start(move |_| to(&target)).await;
    let mut options = NetOptions::default();
    options.headers = vec![
        (
            Origin::of(&home.url("/")).unwrap(),
            Headers::new().with("X-Home", CANARY).unwrap(),
        ),
        (
            Origin::of(&other.url("/")).unwrap(),
            Headers::new().with("X-Other", CANARY).unwrap(),
        ),
    ];
    HttpClient::new(options)
        .unwrap()
        .fetch(Request::get(home.url("/f")))
        .await
        .unwrap();
    assert_eq!(home.seen()[0].header("x-home"), Some(CANARY));
    assert_eq!(home.seen()[0].header("x-other"), None);
    assert_eq!(other.seen()[0].header("x-home"), None);
    assert_eq!(other.seen()[0].header("x-other"), Some(CANARY));
}

#[tokio::test(start_paused = true)]
async fn user_and_password_become_a_header_for_their_origin() {
    let other = Server::start(|_| reply("200 OK", "", b"x")).await;
    let target = format!("http://eve:{CANARY}@{}/x", other.address);
    let home = Server::start(move |_| to(&target)).await;
    let mut url = home.url("/f");
    url.set_username("user").unwrap();
    url.set_password(Some("pass")).unwrap();
    let request = Request::get(url);
    assert_eq!(request.url, home.url("/f"));
    client().fetch(request).await.unwrap();
    // "user:pass"
    assert_eq!(
        home.seen()[0].header("authorization"),
        Some("basic dxnlcjpwyxnz")
    );
    assert_eq!(other.seen()[0].header("authorization"), None);
    assert!(!other.seen()[0].head.contains("eve"));
}

#[tokio::test(start_paused = true)]
async fn no_cookie_is_ever_kept() {
    let server =
        Server::start(|_| reply("200 OK", &format!("Set-Cookie: id={CANARY}\r\n"), b"x")).await;
    let client = client();
    for _ in 0..2 {
        client
            .get_bytes(Request::get(server.url("/f")), 10)
            .await
            .unwrap();
    }
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("cookie").is_none())
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_cannot_break_the_framing_by_headers() {
    let server = Server::start(|seen| serve_file(seen, b"0123456789", "")).await;
    let mut headers = Headers::new();
    for (name, value) in [
        ("Range", "bytes=7-"),
        ("Accept-Encoding", "gzip"),
        ("Icy-MetaData", "1"),
        ("Content-Length", "100"),
        ("Transfer-Encoding", "chunked"),
        ("Host", "other.example"),
    ] {
        headers.insert(name, value).unwrap();
    }
    let (_, bytes) = download(
        &client(),
        Request::get(server.url("/f")).with_headers(headers),
    )
    .await
    .unwrap();
    assert_eq!(bytes, b"0123456789");
    let seen = &server.seen()[0];
    for name in [
        "range",
        "icy-metadata",
        "content-length",
        "transfer-encoding",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(
        seen.header("host"),
        Some(server.address.to_string().as_str())
    );
}

struct Asked(Mutex<Vec<Url>>);

#[async_trait]
impl HeaderHook for Asked {
    fn headers(&self, request: &HookRequest) -> Headers {
        self.0.lock().unwrap().push(request.url.clone());
        Headers::new().with("X-Path", request.url.path()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_asked_about_every_hop() {
    let server = Server::start(|seen| match seen.path() {
        "/a" => to("/b"),
        _ => reply("200 OK", "", b"x"),
    })
    .await;
    let hook = Arc::new(Asked(Mutex::default()));
    let mut options = NetOptions::default();
    options.hook = Some(hook.clone());
    HttpClient::new(options)
        .unwrap()
        .fetch(Request::get(server.url("/a")))
        .await
        .unwrap();
    assert_eq!(
        *hook.0.lock().unwrap(),
        [server.url("/a"), server.url("/b")]
    );
    assert_eq!(server.seen()[1].header("x-path"), Some("/b"));
}

#[tokio::test(start_paused = true)]
async fn nothing_that_can_be_printed_shows_a_secret() {
    let secret_url = Url::parse(&format!(
        "https://u:{CANARY}@h.example/a/{CANARY}?{CANARY}#{CANARY}"
    ))
    .unwrap();
    let headers = Headers::new().with("X-Api-Key", CANARY).unwrap();
    let mut options = NetOptions::default();
    options.headers = vec![(Origin::of(&secret_url).unwrap(), headers.clone())];
    options.proxy =
        Proxy::Url(Url::parse(&format!("http://u:{CANARY}@127.0.0.1:1/?{CANARY}")).unwrap());
    let request = Request::get(secret_url.clone()).with_headers(headers.clone());
    let refreshed = Refreshed {
        url: secret_url,
        headers,
    };
    let client = HttpClient::new(options.clone()).unwrap();
    for text in [
        format!("{options:?} {options:#?}"),
        format!("{request:?} {request:#?}"),
        format!("{refreshed:?} {refreshed:#?}"),
        format!("{client:?} {client:#?}"),
        printed(&client.fetch(request).await.unwrap_err()),
    ] {
        assert!(!text.contains(CANARY), "{text}");
    }
}
