//! Redirects, and what they may not do.

use std::sync::Arc;

use kithara_net::{
    HttpClient, Net, NetError, NetExt, NetOptions, PolicyRule, RangeSpec, Request, Url,
};

use crate::support::*;

fn to(location: &str) -> Vec<Step> {
    reply("302 Found", &format!("Location: {location}\r\n"), b"")
}

fn with_names(names: &[(&'static str, &str)]) -> NetOptions {
    let names = names
        .iter()
        .map(|(name, address)| (*name, vec![address.parse().unwrap()]))
        .collect();
    let mut options = NetOptions::default();
    options.resolver = Some(Arc::new(Names(names)));
    options
}

fn rule(error: &NetError) -> Option<PolicyRule> {
    match error {
        NetError::Policy { rule, .. } => Some(*rule),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_redirect_is_followed_with_its_range() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::start(move |seen| match seen.path() {
            "/a/old" => reply(&format!("{status} X"), "Location: ../b/new?q\r\n", b""),
            _ => serve_file(seen, b"0123456789", ""),
        })
        .await;
        let request = Request::get(server.url("/a/old")).with_range(RangeSpec::from(5));
        let (head, bytes) = download(&client(), request).await.unwrap();
        assert_eq!(bytes, b"56789");
        assert!(head.final_url.as_str().ends_with("/b/?..."));
        assert_eq!(server.seen()[1].path(), "/b/new?q");
        assert_eq!(server.seen()[1].header("referer"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_sixth_redirect_is_refused() {
    for (hops, allowed) in [(5, true), (6, false), (1000, false)] {
        let server = Server::start(move |seen| {
            let hop: usize = seen.path()[1..].parse().unwrap();
            if hop < hops {
                to(&format!("/{}", hop + 1))
            } else {
                reply("200 OK", "", b"x")
            }
        })
        .await;
        match client().fetch(Request::get(server.url("/0"))).await {
            Ok(_) => assert!(allowed),
            Err(error) => assert!(
                !allowed && rule(&error) == Some(PolicyRule::Redirects),
                "{error:?}"
            ),
        }
        assert_eq!(server.requests(), 6);
    }
    let server = Server::start(|seen| to(seen.path())).await;
    let error = client()
        .fetch(Request::get(server.url("/loop")))
        .await
        .unwrap_err();
    assert_eq!(rule(&error), Some(PolicyRule::Redirects));
}

#[tokio::test(start_paused = true)]
async fn all_requests_of_one_open_are_redirected_twenty_times_and_no_further() {
    // Every target leads on to the next one when it is asked again.
    let server = Server::start(|seen| {
        let number = seen.number;
        match number % 3 {
            2 => reply("200 OK", "", b"x"),
            _ => to(&format!("/{number}")),
        }
    })
    .await;
    for (limit, allowed) in [(20, 20), (21, 21), (0, 0), (1_000, 100)] {
        let mut options = NetOptions::default();
        options.max_redirects_per_open = limit;
        let client = HttpClient::new(options).unwrap();
        let open = kithara_net::Redirects::new();
        let before = server.requests();
        let get = || Request::get(server.url("/a")).with_redirects(open.clone());
        let error = loop {
            match client.get_bytes(get(), 10).await {
                Ok(_) => assert!(server.requests() - before < 3 * 1000),
                Err(error) => break error,
            }
        };
        assert_eq!(rule(&error), Some(PolicyRule::Redirects), "{limit}");
        // Each pair of redirects came with an answer, and one more redirect was seen and not followed.
        assert_eq!(
            server.requests() - before,
            allowed + allowed / 2 + 1,
            "{limit}"
        );
        // Another open is not to blame, and this one may go on in a while.
        if limit == 20 {
            while server.requests() % 3 != 0 {
                let _ = client.fetch(Request::get(server.url("/b"))).await;
            }
            assert!(client.fetch(Request::get(server.url("/c"))).await.is_ok());
            tokio::time::advance(std::time::Duration::from_secs(120)).await;
            assert!(client.fetch(get()).await.is_ok());
        }
        while server.requests() % 3 != 0 {
            let _ = client.fetch(Request::get(server.url("/d"))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_out_of_http_is_refused() {
    let canary = "canary";
    for location in [
        "file:///etc/passwd?canary",
        "FILE:/etc/canary",
        "data:audio/mpeg;base64,canary",
        "ftp://h.example/canary",
        "javascript:canary",
        "gopher://127.0.0.1:70/canary",
        "unix:/canary",
        "about:canary",
    ] {
        let server = Server::start(move |_| to(location)).await;
        let error = client()
            .fetch(Request::get(server.url("/f")))
            .await
            .unwrap_err();
        assert_eq!(rule(&error), Some(PolicyRule::Scheme), "{location}");
        assert!(!printed(&error).contains(canary), "{}", printed(&error));
        assert_eq!(server.requests(), 1);
    }
    let server = Server::start(|_| to("http://")).await;
    assert!(matches!(
        client().fetch(Request::get(server.url("/f"))).await,
        Err(NetError::Headers { .. })
    ));
    for url in ["file:///etc/passwd", "ftp://h.example/a", "data:,a"] {
        let error = client()
            .fetch(Request::get(Url::parse(url).unwrap()))
            .await
            .unwrap_err();
        assert_eq!(rule(&error), Some(PolicyRule::Scheme), "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_public_leads_to_a_private_address() {
    let canary = Server::start(|_| reply("200 OK", "", b"secret")).await;
    let port = canary.address.port();
    // The caller's own URL is on a private network: that is the floor, and this machine is below it.
    let names = [("rebound.example", "127.0.0.1")];
    let home = Url::parse("http://192.168.0.2/").unwrap();
    for target in [
        "http://127.0.0.1",
        "http://localhost",
        "http://[::ffff:127.0.0.1]",
        "http://rebound.example",
    ] {
        let zone = kithara_net::Zone::new(kithara_net::AddressClass::Private, &home);
        let client = HttpClient::new(with_names(&names)).unwrap();
        let url = Url::parse(&format!("{target}:{port}/f?canary")).unwrap();
        let error = client
            .fetch(Request::get(url).with_zone(Some(zone)))
            .await
            .unwrap_err();
        assert_eq!(
            rule(&error),
            Some(PolicyRule::Address),
            "{target} {error:?}"
        );
        assert!(!printed(&error).contains("canary"));
    }
    assert_eq!(canary.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_name_what_a_redirect_may_not() {
    let server = Server::start(|seen| match seen.path() {
        "/meta" => to("http://169.254.169.254/latest/meta-data/"),
        "/meta6" => to("http://[fd00:ec2::254]/latest/"),
        "/metaname" => to("http://metadata.google.internal/computeMetadata/v1/"),
        "/self" => to("/f"),
        _ => reply("200 OK", "", b"x"),
    })
    .await;
    // The caller's own URL is on this machine, so that its redirects may stay here; but metadata is never theirs.
    assert!(
        client()
            .fetch(Request::get(server.url("/self")))
            .await
            .is_ok()
    );
    for path in ["/meta", "/meta6", "/metaname"] {
        let error = client()
            .fetch(Request::get(server.url(path)))
            .await
            .unwrap_err();
        assert_eq!(rule(&error), Some(PolicyRule::Address), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listed_host_is_reached_from_anywhere() {
    let server = Server::start(|_| reply("200 OK", "", b"x")).await;
    let zone = kithara_net::Zone::new(
        kithara_net::AddressClass::Public,
        &Url::parse("https://h.example/").unwrap(),
    );
    let url = Url::parse(&format!("http://Nas.Example:{}/f", server.address.port())).unwrap();
    let request = || Request::get(url.clone()).with_zone(Some(zone));
    let names = [("nas.example", "127.0.0.1")];
    for (hosts, downgrade, expected) in [
        (vec![], false, Some(PolicyRule::Downgrade)),
        (vec![], true, Some(PolicyRule::Address)),
        (
            vec!["other.example".to_owned()],
            true,
            Some(PolicyRule::Address),
        ),
        (vec!["NAS.example.".to_owned()], true, None),
    ] {
        let mut options = with_names(&names);
        options.allowed_hosts = hosts;
        options.allow_downgrade = downgrade;
        let got = HttpClient::new(options).unwrap().fetch(request()).await;
        assert_eq!(got.err().as_ref().and_then(rule), expected);
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pooled_connection_of_the_caller_is_not_lent_to_others() {
    let server = Server::start(|_| reply("200 OK", "", b"x")).await;
    let client = HttpClient::new(with_names(&[("nas.example", "127.0.0.1")])).unwrap();
    let url = Url::parse(&format!("http://nas.example:{}/f", server.address.port())).unwrap();
    client
        .get_bytes(Request::get(url.clone()), 10)
        .await
        .unwrap();
    let public = kithara_net::Zone::new(kithara_net::AddressClass::Public, &url);
    let error = client
        .fetch(Request::get(url).with_zone(Some(public)))
        .await
        .unwrap_err();
    assert_eq!(rule(&error), Some(PolicyRule::Address));
    assert_eq!(server.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn further_ranges_go_straight_to_the_target() {
    let server = Server::start(|seen| match seen.path() {
        "/old" => to("/new"),
        _ => serve_file(seen, b"0123456789", ""),
    })
    .await;
    let client = client();
    for start in 0..5 {
        let request = Request::get(server.url("/old")).with_range(RangeSpec::from(start));
        download(&client, request).await.unwrap();
    }
    let paths: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.path().to_owned())
        .collect();
    assert_eq!(paths, ["/old", "/new", "/new", "/new", "/new", "/new"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_target_is_looked_up_again_once_in_ten_seconds() {
    for status in [401, 403, 404, 410] {
        let server = Server::start(move |seen| match seen.path() {
            // The signature in the target is good for the three requests that follow.
            "/old" => to(&format!("/signed?{}", seen.number)),
            path => {
                let signed: usize = path["/signed?".len()..].parse().unwrap();
                match seen.number - signed <= 3 {
                    true => serve_file(seen, b"0123456789", ""),
                    false => reply(&format!("{status} X"), "", b""),
                }
            }
        })
        .await;
        let client = client();
        let get = || Request::get(server.url("/old")).with_range(RangeSpec::from(5));
        for _ in 0..3 {
            download(&client, get()).await.unwrap();
        }
        // The fourth is refused, and served after another look-up; so are two more.
        for _ in 0..3 {
            download(&client, get()).await.unwrap();
        }
        assert_eq!(server.requests(), 4 + 1 + 4);
        // The next refusal comes too soon after that.
        let before = server.requests();
        let error = client.fetch(get()).await.unwrap_err();
        match status {
            401 | 403 => assert!(matches!(error, NetError::Expired { .. }), "{error:?}"),
            _ => assert!(matches!(error, NetError::Http { .. }), "{error:?}"),
        }
        assert_eq!(server.requests() - before, 1);
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        download(&client, get()).await.unwrap();
        assert_eq!(server.requests() - before, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_is_looked_up_again() {
    steady();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = format!("http://{}/x", listener.local_addr().unwrap());
    drop(listener);
    let alive = Server::start(|_| {
        raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
    })
    .await;
    let url = alive.url("/x").to_string();
    let server = Server::start(move |seen| to(if seen.number == 1 { &dead } else { &url })).await;
    let client = client();
    client
        .get_bytes(Request::get(server.url("/f")), 10)
        .await
        .unwrap();
    drop(alive);
    tokio::task::yield_now().await;
    let first = client.fetch(Request::get(server.url("/f"))).await;
    assert!(first.is_err(), "the remembered target is gone");
    assert_eq!(server.requests(), 1);
    assert!(client.fetch(Request::get(server.url("/f"))).await.is_err());
    assert_eq!(server.requests(), 2, "asked at the source again");
}
