//! Files of this machine by way of their URLs: ranges, lengths, what is no file, what changes, and where links lead.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // What cannot be set up is a failed test.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kithara_net::{
    Body, FolderNet, Method, Net, NetError, NetEvent, Observer, PolicyRule, Purpose, RangeSpec,
    Request, Response, ResponseHead, Url, Zone,
};

/// What lies outside, and must not be read.
const CANARY: &[u8] = b"canary-51f0";

/// A folder with a playlist in it, and another beside it that is nobody's business.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["album", "beside"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let folder = Self { dir };
        folder.write("album/list", b"#EXTM3U\n");
        folder.write("album/a.ts", b"0123456789");
        folder.write("beside/canary.ts", CANARY);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn net(&self) -> FolderNet {
        self.net_with(&[])
    }

    fn net_with(&self, roots: &[PathBuf]) -> FolderNet {
        let nobody = || -> Result<Arc<dyn Net>, NetError> { panic!("no server is asked") };
        FolderNet::new(&self.path("album/list"), roots.to_vec(), nobody).unwrap()
    }
}

/// What the playlist of that net refers to.
async fn refer(net: &FolderNet, reference: &str) -> Request {
    let list = Request::get(net.url().clone()).with_purpose(Purpose::Playlist);
    let head = net.fetch(list).await.unwrap().head;
    let url = head.base.join(reference).unwrap();
    Request::get(url).with_zone(Some(head.zone))
}

async fn bytes(mut response: Response) -> Result<Vec<u8>, NetError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.body.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn read(net: &FolderNet, reference: &str) -> Result<Vec<u8>, NetError> {
    let request = refer(net, reference).await;
    bytes(net.fetch(request).await?).await
}

fn rule(read: Result<Vec<u8>, NetError>) -> Option<PolicyRule> {
    match read {
        Err(NetError::Policy { rule, url }) => {
            assert!(!url.to_string().contains("canary"), "{url}");
            Some(rule)
        }
        other => {
            assert_ne!(other.ok().as_deref(), Some(CANARY));
            None
        }
    }
}

#[tokio::test]
async fn a_file_answers_with_the_bytes_that_were_asked_for() {
    let folder = Folder::new();
    let net = folder.net();
    for (range, expected, status) in [
        (None, Some((0, 10)), 200),
        (Some(RangeSpec::from(0)), Some((0, 10)), 206),
        (Some(RangeSpec::from(7)), Some((7, 10)), 206),
        (Some(RangeSpec::new(2, 5)), Some((2, 5)), 206),
        (Some(RangeSpec::new(2, 2)), Some((2, 3)), 206),
        (Some(RangeSpec::new(8, 400)), Some((8, 10)), 206),
        (Some(RangeSpec::new(9, u64::MAX)), Some((9, 10)), 206),
        (Some(RangeSpec::from(10)), None, 416),
        (Some(RangeSpec::from(u64::MAX)), None, 416),
    ] {
        let mut request = refer(&net, "a.ts").await;
        request.range = range;
        let answer = net.fetch(request.clone()).await;
        let Some((start, end)) = expected else {
            let beyond = matches!(
                answer,
                Err(NetError::RangeNotSatisfiable {
                    total: Some(10),
                    ..
                })
            );
            assert!(beyond, "{range:?}: {answer:?}");
            continue;
        };
        let answer = answer.unwrap();
        let head = &answer.head;
        assert_eq!((head.start, head.end), (start, Some(end)), "{range:?}");
        assert_eq!((head.total, head.status), (Some(10), status), "{range:?}");
        assert!(head.length_proof);
        let expected = &b"0123456789"[start as usize..end as usize];
        assert_eq!(bytes(answer).await.unwrap(), expected, "{range:?}");
        request.method = Method::Head;
        assert!(
            bytes(net.fetch(request).await.unwrap())
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn names_are_read_as_the_url_says() {
    let folder = Folder::new();
    fs::create_dir(folder.path("album/sub dir")).unwrap();
    for name in ["a b.ts", "sub dir/ä#?%.ts", "..a.ts"] {
        folder.write(&format!("album/{name}"), name.as_bytes());
    }
    let net = folder.net();
    for (reference, name) in [
        ("a%20b.ts", "a b.ts"),
        ("a b.ts", "a b.ts"),
        ("./sub%20dir/%C3%A4%23%3F%25.ts?x#y", "sub dir/ä#?%.ts"),
        ("sub%20dir/../a%20b.ts", "a b.ts"),
        ("..a.ts", "..a.ts"),
    ] {
        assert_eq!(read(&net, reference).await.unwrap(), name.as_bytes());
    }
    let absolute = folder.path("album/a b.ts").canonicalize().unwrap();
    let absolute = Url::from_file_path(absolute).unwrap();
    assert_eq!(read(&net, absolute.as_str()).await.unwrap(), b"a b.ts");
    assert_eq!(read(&net, absolute.path()).await.unwrap(), b"a b.ts");
}

#[tokio::test]
async fn what_is_no_file_is_named_and_nothing_waits_for_it() {
    let folder = Folder::new();
    fs::create_dir(folder.path("album/dir.ts")).unwrap();
    let pipe = folder.path("album/pipe.ts");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("album/socket.ts")).unwrap();
    let net = folder.net();
    for name in ["dir.ts", "pipe.ts", "socket.ts"] {
        let read = read(&net, name).await;
        assert!(matches!(read, Err(NetError::Unsupported { .. })), "{name}");
    }
    let missing = read(&net, "missing.ts").await.unwrap_err();
    let NetError::File { source, .. } = &missing else {
        panic!("{missing:?}");
    };
    assert_eq!(source.kind(), ErrorKind::NotFound);
    assert!(!missing.is_retryable());
}

#[tokio::test]
async fn no_link_leads_out_of_the_folder() {
    let folder = Folder::new();
    let canary = folder.path("beside/canary.ts");
    symlink(&canary, folder.path("album/link.ts")).unwrap();
    symlink("../beside/canary.ts", folder.path("album/relative.ts")).unwrap();
    symlink(folder.path("beside"), folder.path("album/linked")).unwrap();
    symlink("link.ts", folder.path("album/twice.ts")).unwrap();
    symlink("/proc/self/cwd", folder.path("album/proc")).unwrap();
    symlink("a.ts", folder.path("album/inside.ts")).unwrap();
    symlink(folder.path("album"), folder.path("album/myself")).unwrap();
    let net = folder.net();
    for name in [
        "link.ts",
        "relative.ts",
        "linked/canary.ts",
        "twice.ts",
        "proc/Cargo.toml",
    ] {
        assert_eq!(
            rule(read(&net, name).await),
            Some(PolicyRule::Folder),
            "{name}"
        );
    }
    for name in ["inside.ts", "myself/a.ts", "myself/myself/inside.ts"] {
        assert_eq!(read(&net, name).await.unwrap(), b"0123456789", "{name}");
    }
    // What does not exist outside is not told from what does.
    for name in ["../beside/canary.ts", "../beside/missing.ts"] {
        assert_eq!(
            rule(read(&net, name).await),
            Some(PolicyRule::Folder),
            "{name}"
        );
    }
    let granted = folder.net_with(&[folder.path("beside")]);
    for name in ["link.ts", "linked/canary.ts", "../beside/canary.ts"] {
        assert_eq!(read(&granted, name).await.unwrap(), CANARY, "{name}");
    }
    let nowhere = folder.net_with(&[folder.path("nowhere")]);
    assert_eq!(
        rule(read(&nowhere, "link.ts").await),
        Some(PolicyRule::Folder)
    );
}

#[tokio::test]
async fn a_playlist_behind_a_link_is_read_where_the_caller_says() {
    let folder = Folder::new();
    fs::create_dir(folder.path("home")).unwrap();
    symlink(folder.path("album/list"), folder.path("home/list")).unwrap();
    symlink(folder.path("album"), folder.path("short")).unwrap();
    folder.write("home/a.ts", b"home");
    let net = |name: &str| {
        let nobody = || -> Result<Arc<dyn Net>, NetError> { panic!("no server is asked") };
        FolderNet::new(Path::new(&folder.path(name)), Vec::new(), nobody).unwrap()
    };
    // Its folder is the one that the caller named.
    assert_eq!(read(&net("home/list"), "a.ts").await.unwrap(), b"home");
    assert_eq!(
        read(&net("short/list"), "a.ts").await.unwrap(),
        b"0123456789"
    );
    let behind_link = folder.path("short/a.ts");
    let spelled = Url::from_file_path(behind_link).unwrap();
    let read_by_it = read(&net("short/list"), spelled.as_str()).await;
    assert_eq!(read_by_it.unwrap(), b"0123456789");
    assert_eq!(
        read(&net("home/../short/list"), "a.ts").await.unwrap(),
        b"0123456789"
    );
}

#[tokio::test]
async fn a_folder_that_becomes_a_link_leads_nowhere_new() {
    let folder = Folder::new();
    let net = folder.net();
    let request = refer(&net, "canary.ts").await;
    fs::rename(folder.path("album"), folder.path("moved")).unwrap();
    symlink(folder.path("beside"), folder.path("album")).unwrap();
    let read = match net.fetch(request).await {
        Ok(response) => bytes(response).await,
        Err(error) => Err(error),
    };
    assert_eq!(rule(read), Some(PolicyRule::Folder));
}

#[tokio::test]
async fn a_file_that_is_changed_while_it_is_read_is_no_longer_that_file() {
    let folder = Folder::new();
    let net = folder.net();
    let long = vec![7; 300_000];
    for (change, what) in [
        ("cut", "Truncated"),
        ("rewritten", "ContentChanged"),
        ("grown", ""),
    ] {
        folder.write("album/long.ts", &long);
        let mut response = net.fetch(refer(&net, "long.ts").await).await.unwrap();
        assert!(response.body.chunk().await.unwrap().is_some());
        match change {
            "cut" => folder.write("album/long.ts", &long[..100_000]),
            "grown" => {
                let path = folder.path("album/long.ts");
                let mut file = fs::File::options().append(true).open(path).unwrap();
                file.write_all(b"more").unwrap();
            }
            _ => {
                folder.write("album/long.ts", &vec![8; 300_000]);
                let file = fs::File::options()
                    .write(true)
                    .open(folder.path("album/long.ts"));
                let hour = std::time::Duration::from_secs(3600);
                let then = std::time::SystemTime::now() - hour;
                file.unwrap().set_modified(then).unwrap();
            }
        }
        let rest = bytes(response).await;
        let told = rest.as_ref().err().map(|error| format!("{error:?}"));
        match what {
            "" => assert_eq!(rest.unwrap().len(), 300_000 - 64 * 1024),
            what => assert!(told.unwrap().starts_with(what), "{change}"),
        }
    }
}

#[tokio::test]
async fn a_range_of_another_state_of_a_file_is_not_given_for_it() {
    let folder = Folder::new();
    let net = folder.net();
    let request = refer(&net, "a.ts").await.with_range(RangeSpec::from(4));
    let head = net.fetch(request.clone()).await.unwrap().head;
    let guarded = request.with_if_range(head.validators.if_range());
    let same = net.fetch(guarded.clone()).await.unwrap();
    assert_eq!(same.head.start, 4);
    folder.write("album/a.ts", b"other bytes");
    let other = net.fetch(guarded).await.unwrap();
    assert_eq!((other.head.start, other.head.status), (0, 200));
}

#[tokio::test]
async fn a_page_or_a_playlist_is_no_media() {
    let folder = Folder::new();
    folder.write("album/page.ts", b"<!DOCTYPE html>");
    folder.write("album/list.ts", b"#EXTM3U\n");
    let net = folder.net();
    let page = read(&net, "page.ts").await;
    assert!(
        matches!(page, Err(NetError::WrongContent { .. })),
        "{page:?}"
    );
    let list = read(&net, "list.ts").await;
    assert!(matches!(list, Err(NetError::Playlist { .. })), "{list:?}");
}

/// Answers with its own name.
struct Server {
    asked: Asked,
}

/// What it was asked for, and by whom.
type Asked = Arc<Mutex<Vec<(Url, Option<Zone>)>>>;

#[async_trait]
impl Net for Server {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let head = ResponseHead::whole(&request.url, 6);
        self.asked.lock().unwrap().push((request.url, request.zone));
        let body = Body::from_bytes(&b"server"[..]);
        Ok(Response { head, body })
    }
}

#[tokio::test]
async fn servers_are_asked_by_a_client_that_is_made_once_and_only_then() {
    let folder = Folder::new();
    let (asked, made) = (Asked::default(), Arc::new(AtomicUsize::new(0)));
    let connect = {
        let (asked, made) = (Arc::clone(&asked), Arc::clone(&made));
        move || -> Result<Arc<dyn Net>, NetError> {
            made.fetch_add(1, Ordering::SeqCst);
            let asked = Arc::clone(&asked);
            Ok(Arc::new(Server { asked }))
        }
    };
    let net = FolderNet::new(&folder.path("album/list"), Vec::new(), connect).unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let observer = Observer::new(move |event| {
        if matches!(event, NetEvent::RequestSent { .. }) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let file = refer(&net, "a.ts").await.with_observer(observer);
    bytes(net.fetch(file).await.unwrap()).await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 0);
    assert_eq!(
        requests.load(Ordering::SeqCst),
        0,
        "no request is sent for a file"
    );
    for _ in 0..2 {
        let far = read(&net, "http://h.example/a.ts").await;
        assert_eq!(far.unwrap(), b"server");
    }
    assert_eq!(made.load(Ordering::SeqCst), 1);
    let zone = refer(&net, "a.ts").await.zone;
    let asked = asked.lock().unwrap().clone();
    assert!(
        asked
            .iter()
            .all(|(url, from)| url.scheme() == "http" && *from == zone)
    );
    // What a server sends refers to no file, nor does what it redirects to: that is never asked here.
    let far = Url::parse("http://h.example/a").unwrap();
    let zone = Some(Zone::new(kithara_net::AddressClass::Local, &far));
    let file = refer(&net, "a.ts").await.with_zone(zone);
    let refused = net.fetch(file).await;
    let rule = match refused {
        Err(NetError::Policy { rule, .. }) => rule,
        other => panic!("{other:?}"),
    };
    assert_eq!(rule, PolicyRule::Scheme);
}
