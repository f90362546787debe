//! What came over TLS stays there, heard through [`kithara::Resource`].

#[path = "support/network.rs"]
mod network;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kithara::ErrorKind;
use kithara::net::{NetOptions, Roots};
use kithara_tests::server::{FaultServer, Script};
use network::*;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// TLS in front of a [`FaultServer`]: what comes out of it is what the other says.
struct Secure {
    addr: SocketAddr,
    certificate: Vec<u8>,
    connections: Arc<AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Secure {
    fn in_front_of(plain: &FaultServer) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        let certificate = params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("a key that fits");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let bind = TcpListener::bind(("127.0.0.1", 0));
        let listener = runtime.block_on(bind).expect("a free port");
        let addr = listener.local_addr().expect("a bound listener");
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, behind) = (Arc::clone(&connections), plain.addr());
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(acceptor.clone(), socket, behind));
            }
        });
        Self {
            addr,
            certificate: certificate.to_vec(),
            connections,
            runtime: Some(runtime),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.addr)
    }

    fn options(&self) -> NetOptions {
        let mut options = NetOptions::default();
        options.roots = Roots::Only(vec![self.certificate.clone()]);
        options
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn pass(acceptor: TlsAcceptor, socket: TcpStream, behind: SocketAddr) {
    let Ok(mut tls) = acceptor.accept(socket).await else {
        return;
    };
    let Ok(mut plain) = TcpStream::connect(behind).await else {
        return;
    };
    let (mut up, mut down) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        let passed = tokio::select! {
            read = tls.read(&mut up) => match read {
                Ok(read) if read > 0 => plain.write_all(&up[..read]).await,
                _ => return,
            },
            read = plain.read(&mut down) => match read {
                Ok(read) if read > 0 => tls.write_all(&down[..read]).await,
                _ => return drop(tls.shutdown().await),
            },
        };
        if passed.is_err() {
            return;
        }
    }
}

#[test]
fn a_redirect_from_https_to_http_is_refused_and_nothing_is_asked_in_the_clear() {
    let (bytes, expected) = long(8);
    let (behind, canary) = (FaultServer::start(), FaultServer::start());
    let secure = Secure::in_front_of(&behind);
    canary.serve("/a.wav", wav(&bytes));
    let down = Script::redirect(302, &canary.url("/a.wav"));
    let open = |path: &str, options| {
        let config = config_with(&secure.url(path), options);
        Listener::try_open(config.with_look_ahead_bytes(LOOK_AHEAD))
    };

    behind.serve("/at-first.wav", down.clone());
    let error = open("/at-first.wav", secure.options())
        .err()
        .expect("refused");
    assert_eq!(error.kind(), ErrorKind::Policy, "{error:?}");
    assert_eq!(behind.requests().len(), 1, "refused once and for all");

    behind.serve_sequence("/then.wav", [wav(&bytes), down.clone()]);
    let mut listener = open("/then.wav", secure.options()).expect("it opens");
    let error = listener.fails_after_exact_prefix(&expected, "in the middle of a title");
    assert_eq!(error.kind(), ErrorKind::Policy, "{error:?}");
    assert_eq!(listener.pcm.len() as u64, (LOOK_AHEAD - 44) / 2);
    assert_eq!(behind.requests_for("/then.wav").len(), 2);
    assert_sticky(&mut listener, &behind, &error);

    // By way of another secure page.
    behind.serve("/hop.wav", Script::redirect(302, "/at-first.wav"));
    let error = open("/hop.wav", secure.options()).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Policy, "{error:?}");
    assert_eq!(canary.connections(), 0, "something went out in the clear");

    // It is the scheme that is refused, and nothing else: the caller may allow it, and https may lead to https.
    behind.serve("/up.wav", Script::redirect(302, &secure.url("/same.wav")));
    behind.serve("/same.wav", wav(&bytes));
    open("/up.wav", secure.options())
        .expect("it opens")
        .plays_exactly(&expected, "https");
    let mut options = secure.options();
    options.allow_downgrade = true;
    open("/at-first.wav", options)
        .expect("it opens")
        .plays_exactly(&expected, "allowed");
    assert!(canary.connections() > 0);
}

#[test]
fn an_unknown_certificate_is_refused_at_once_and_never_asked_for_in_the_clear() {
    let behind = FaultServer::start();
    let (secure, other) = (Secure::in_front_of(&behind), Secure::in_front_of(&behind));
    let error = Listener::try_open(config_with(&secure.url("/a.wav"), other.options()))
        .err()
        .expect("refused");
    assert_eq!(error.kind(), ErrorKind::Network, "{error:?}");
    assert_eq!(secure.connections.load(Ordering::SeqCst), 1);
    assert_eq!(behind.requests().len(), 0);
}
