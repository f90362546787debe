//! Proxies.

use kithara_net::{
    HttpClient, Net, NetError, NetExt, NetOptions, PolicyRule, Proxy, Request, RetryPolicy, Url,
    Zone,
};

use crate::support::*;

fn through(server: &Server) -> HttpClient {
    let mut options = NetOptions::default();
    let mut url = server.url("/");
    url.set_username("user").unwrap();
    url.set_password(Some("pass")).unwrap();
    options.proxy = Proxy::Url(url);
    HttpClient::new(options).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_proxy_gets_the_request_and_its_own_password() {
    let proxy = Server::start(|seen| serve_file(seen, b"0123456789", "")).await;
    let url = Url::parse("http://h.example/f").unwrap();
    let (_, bytes) = download(&through(&proxy), Request::get(url)).await.unwrap();
    assert_eq!(bytes, b"0123456789");
    let seen = &proxy.seen()[0];
    assert!(
        seen.head.starts_with("GET http://h.example/f HTTP/1.1"),
        "{}",
        seen.head
    );
    assert_eq!(
        seen.header("proxy-authorization"),
        Some("basic dxnlcjpwyxnz")
    );
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_recovers_is_waited_for_and_one_that_does_not_is_an_error() {
    for status in [407, 502, 504] {
        let url = || Url::parse("http://h.example/f").unwrap();
        let proxy = Server::start(move |seen| match seen.number {
            0..3 => reply(&format!("{status} X"), "", b""),
            _ => serve_file(seen, b"0123456789", ""),
        })
        .await;
        let net = through(&proxy).with_retry(RetryPolicy::default());
        let (_, bytes) = download(&net, Request::get(url())).await.unwrap();
        assert_eq!(bytes, b"0123456789");
        assert_eq!(proxy.requests(), 4);

        let broken = Server::start(move |_| reply(&format!("{status} X"), "", b"")).await;
        let net = through(&broken).with_retry(RetryPolicy::default());
        let error = net.fetch(Request::get(url())).await.unwrap_err();
        assert!(
            matches!(error.root(), NetError::Http { status: got, .. } if *got == status),
            "{error:?}"
        );
        assert_eq!(broken.requests(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_cannot_use_a_proxy_to_reach_what_it_may_not() {
    let proxy = Server::start(|seen| serve_file(seen, b"0123456789", "")).await;
    let home = Url::parse("http://h.example/").unwrap();
    let zone = Some(Zone::new(kithara_net::AddressClass::Public, &home));
    let itself = proxy.url("/f").to_string();
    for url in [
        "http://127.0.0.1/f",
        "http://[::1]/f",
        "http://10.0.0.1/f",
        "http://localhost/f",
        &itself,
    ] {
        let request = Request::get(Url::parse(url).unwrap()).with_zone(zone);
        let error = through(&proxy).fetch(request).await.unwrap_err();
        assert!(
            matches!(
                error,
                NetError::Policy {
                    rule: PolicyRule::Address,
                    ..
                }
            ),
            "{url} {error:?}"
        );
    }
    assert_eq!(proxy.requests(), 0);
}
