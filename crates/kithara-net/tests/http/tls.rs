//! TLS that must not be trusted, and what may not leave it.

use std::net::SocketAddr;
use std::sync::Arc;

use kithara_net::{
    HttpClient, Net, NetError, NetExt, NetOptions, PolicyRule, Request, RetryPolicy, Roots, Url,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls;

use crate::support::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server with a certificate for `name` that was good until the end of `year`.
    async fn server(&self, name: &str, year: i32, answer: &'static str) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        steady();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                if let Ok(mut tls) = acceptor.accept(socket).await {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n")
                        && tls.read_buf(&mut head).await.unwrap_or(0) > 0
                    {}
                    let _ = tls.write_all(answer.as_bytes()).await;
                    let _ = tls.shutdown().await;
                }
            }
        });
        address
    }

    fn client(&self) -> HttpClient {
        let mut options = NetOptions::default();
        options.roots = Roots::Only(vec![self.0.der().to_vec()]);
        options.resolver = Some(Arc::new(Names(vec![(
            "good.example",
            vec!["127.0.0.1".parse().unwrap()],
        )])));
        HttpClient::new(options).unwrap()
    }
}

fn https(address: SocketAddr) -> Url {
    Url::parse(&format!("https://good.example:{}/f?canary", address.port())).unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn only_a_valid_certificate_is_accepted_and_bad_ones_are_not_retried() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = authority.server("good.example", 2099, OK).await;
    let bytes = soon(authority.client().get_bytes(Request::get(https(good)), 10))
        .await
        .unwrap();
    assert_eq!(&bytes[..], b"ok");

    let expired = authority.server("good.example", 2021, OK).await;
    let wrong_host = authority.server("other.example", 2099, OK).await;
    let unknown = stranger.server("good.example", 2099, OK).await;
    let plain = Server::start(|_| raw("HTTP/1.1 200 OK\r\n\r\n")).await;
    for address in [expired, wrong_host, unknown] {
        let (observer, heard) = recorder();
        let request = Request::get(https(address)).with_observer(observer);
        let net = authority.client().with_retry(RetryPolicy::default());
        let error = soon(net.fetch(request)).await.unwrap_err();
        assert!(matches!(error, NetError::Tls { .. }), "{error:?}");
        assert!(!printed(&error).contains("canary"));
        assert_eq!(
            heard.lock().unwrap().len(),
            1,
            "sent once, never downgraded"
        );
    }
    // Not TLS at all: the server takes the hello for a request that never ends.
    let mut options = NetOptions::default();
    options.timeouts.connect = std::time::Duration::from_millis(200);
    let url = Url::parse(&format!("https://{}/f", plain.address)).unwrap();
    assert!(
        soon(HttpClient::new(options).unwrap().fetch(Request::get(url)))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn https_never_leads_to_http() {
    let authority = Authority::new();
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://good.example:1/f?canary\r\nContent-Length: 0\r\n\r\n";
    let address = authority.server("good.example", 2099, answer).await;
    let (observer, heard) = recorder();
    let error = soon(
        authority
            .client()
            .fetch(Request::get(https(address)).with_observer(observer)),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(
            error,
            NetError::Policy {
                rule: PolicyRule::Downgrade,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!printed(&error).contains("canary"));
    assert_eq!(
        heard.lock().unwrap().len(),
        2,
        "one request, one redirect that was not followed"
    );
}

#[tokio::test]
async fn roots_that_are_no_certificates_are_an_error_of_the_options() {
    let mut options = NetOptions::default();
    options.roots = Roots::Only(vec![
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
    ]);
    assert!(matches!(HttpClient::new(options), Err(NetError::Client(_))));
}
