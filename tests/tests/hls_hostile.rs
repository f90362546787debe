//! What a playlist may not lead to: other schemes, files, addresses closer than its own, whatever the spelling, and
//! wherever it says so: as segment, key, init section, variant or rendition, directly or by a redirect.

#![allow(clippy::unwrap_used)] // What cannot be set up is a failed test.

#[path = "support/hls_bytes.rs"]
mod hls_bytes;

use std::sync::Arc;

use hls_bytes::*;
use kithara::hls::{HlsConfig, HlsError, KeyOptions};
use kithara::net::{Headers, Net, NetError, NetOptions, Origin, PolicyRule, Url};
use kithara::stream::StreamError;
use kithara_tests::server::{FaultServer, LoggedRequest, Script};

const SECRET: &str = "canary-9c1e";

/// Where a reference stands.
const PLACES: [&str; 5] = ["segment", "key", "map", "variant", "rendition"];

fn playlist(place: &str, reference: &str) -> String {
    const HEAD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
    const TAIL: &str = "#EXTINF:4,\n/s.aac\n#EXT-X-ENDLIST\n";
    match place {
        "segment" => format!("{HEAD}#EXTINF:4,\n{reference}\n#EXT-X-ENDLIST\n"),
        "key" => format!("{HEAD}#EXT-X-KEY:METHOD=AES-128,URI=\"{reference}\"\n{TAIL}"),
        "map" => format!("{HEAD}#EXT-X-MAP:URI=\"{reference}\"\n{TAIL}"),
        "variant" => format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{reference}\n"),
        "rendition" => format!(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\",DEFAULT=YES,URI=\"{reference}\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.4d401f,mp4a.40.2\",AUDIO=\"g\"\n/video.m3u8\n"
        ),
        other => panic!("{other}"),
    }
}

/// What becomes of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Refused for this rule, before anything is asked of anybody.
    Refused(PolicyRule),
    /// No URL.
    Broken,
    /// However it looks, it is a path of the playlist's own server, which has nothing there.
    Home,
    /// A name that nobody knows.
    Nobody,
}

use Fate::{Broken, Home, Nobody, Refused};

/// Schemes that are not spoken, and spellings of them.
fn schemes(file: &str, port: u16) -> Vec<(String, Fate)> {
    let slashes = file.replace('/', "\\");
    let files = [
        format!("fIlE:///{file}"),
        format!("file:{file}"),
        format!("file:./{file}"),
        format!("file:/../..{file}"),
        format!("file://./{file}"),
        format!("file:///.{file}"),
        format!("f\nile://{file}").replace('\n', "\t"),
        format!("file\t://{file}"),
        format!("file:\t//{file}"),
        format!("\tfile://{file}"),
        format!("file://[::1]{file}"),
        format!("\u{1f}\u{1}file:{file}"),
        format!("file://{file}"),
        format!("FILE://{file}"),
        format!("FiLe:{file}"),
        format!("file:/{file}"),
        format!("file:////{file}"),
        format!("fi\tle://{file}"),
        format!("file:\\\\{slashes}"),
        format!("file://localhost{file}"),
        format!("file://127.0.0.1{file}"),
        format!("file://home.test{file}"),
        format!("file://{file}?x.ts"),
        format!("file://{file}#x.ts"),
        format!("file://{file}%00.ts"),
        format!("\u{1}file://{file}"),
    ];
    let wrapped = [
        "crypto",
        "crypto+http",
        "view-source",
        "blob",
        "jar",
        "cache",
        "async",
        "feed",
        "filesystem",
        "hls+http",
        "http+unix",
        "httpx",
        "concat",
        "subfile",
        "unknown",
        "CrYpTo",
        "http+file",
        "https+http",
        "h2",
        "h3",
        "hls",
        "m3u8",
        "pcast",
        "itpc",
        "zip",
        "tar",
        "gzip",
        "view\t-source",
    ];
    let others = [
        "data:,",
        "data:;base64,AAAAAAAAAAAAAAAAAAAAAA==",
        "DATA:audio/aac;base64,//FQgA==",
        "data:application/octet-stream;base64,AAAAAAAAAAAAAAAAAAAAAA==",
        "javascript:alert(1)",
        "javascript://x/%0aalert(1)",
        "vbscript:x",
        "about:blank",
        "chrome://settings",
        "resource://x",
        "content://media/1",
        "intent:#Intent;end",
        "mailto:a@b.example",
        "urn:x:y",
        "tel:1",
        "magnet:?xt=1",
        "pipe:0",
        "fd:3",
        "unix:/run/x.sock",
        "C:\\music\\a.ts",
        "c:/music/a.ts",
        "C:a.ts",
        "z:\\\\host\\share",
        "ftp:a",
    ];
    let spoken = [
        "ftp", "FTP", "ftps", "sftp", "tftp", "smb", "nfs", "ws", "wss", "rtmp", "rtsp", "rtp",
        "udp", "tcp", "tls", "srt", "mms", "gopher", "dict", "ldap", "telnet", "ssh", "git",
        "ipfs", "sctp",
    ];
    let wrapped = wrapped.map(|scheme| format!("{scheme}:http://127.0.0.1:{port}/a"));
    let spoken = spoken.map(|scheme| format!("{scheme}://127.0.0.1:{port}/a"));
    let all = files.into_iter().chain(wrapped).chain(spoken);
    let all = all.chain(others.map(str::to_owned));
    all.map(|reference| (reference, Refused(PolicyRule::Scheme)))
        .collect()
}

/// Addresses that are closer than a public one, in all spellings; `#` is the canary's port.
fn addresses(port: u16) -> Vec<(String, Fate)> {
    let all = [
        "http://127.0.0.1:#/a",
        "HTTP://127.0.0.1:#/a",
        "hT\ttp://127.0.0.1:#/a",
        "http://127.0.0.1.:#/a",
        "http://127.1:#/a",
        "http://127.0.1:#/a",
        "http://2130706433:#/a",
        "http://0x7f000001:#/a",
        "http://0x7f.0x0.0x0.0x1:#/a",
        "http://0177.0.0.1:#/a",
        "http://017700000001:#/a",
        "http://0x7f.1:#/a",
        "http://127.0.0.001:#/a",
        "http://0:#/a",
        "http://0.0.0.0:#/a",
        "http://127.255.255.254:#/a",
        "http://[::1]:#/a",
        "http://[0:0:0:0:0:0:0:1]:#/a",
        "http://[::]:#/a",
        "http://[::ffff:127.0.0.1]:#/a",
        "http://[::ffff:7f00:1]:#/a",
        "http://[0:0:0:0:0:FFFF:127.0.0.1]:#/a",
        "http://[::127.0.0.1]:#/a",
        "http://[64:ff9b::7f00:1]:#/a",
        "http://[2002:7f00:1::]:#/a",
        "http://localhost:#/a",
        "http://LOCALHOST:#/a",
        "http://localhost.:#/a",
        "http://a.localhost:#/a",
        "http://home.test.localhost:#/a",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1:#/a",
        "http://127\u{3002}0\u{3002}0\u{3002}1:#/a",
        "http://\u{2460}\u{2461}\u{2466}.0.0.1:#/a",
        "http://%31%32%37.0.0.1:#/a",
        "http://127.0.0.%31:#/a",
        "http://loc\u{ad}alhost:#/a",
        "http://\u{24db}ocalhost:#/a",
        "//127.0.0.1:#/a",
        "\\\\127.0.0.1:#\\a",
        "/\\127.0.0.1:#/a",
        "\\/127.0.0.1:#/a",
        "http:///127.0.0.1:#/a",
        "http:\\\\127.0.0.1:#\\a",
        "http://home.test@127.0.0.1:#/a",
        "http://user:word@127.0.0.1:#/a",
        "http://home.test:80@127.0.0.1:#/a",
        "http://home.test%2f@127.0.0.1:#/a",
        "http://127.0.0.1:#\\@home.test/a",
        "http://127.0.0.1:#?@home.test/",
        "http://127.0.0.1:##@home.test/",
        "http://169.254.1.1:#/a",
        "http://169.254.169.254/latest/meta-data/",
        "http://0xa9fea9fe/a",
        "http://[::ffff:169.254.169.254]/a",
        "http://[fd00:ec2::254]/a",
        "http://metadata.google.internal/a",
        "http://10.0.0.1:#/a",
        "http://172.16.0.1/a",
        "http://192.168.0.1/a",
        "http://3232235521/a",
        "http://100.64.0.1/a",
        "http://[fc00::1]/a",
        "http://[fe80::1]:#/a",
        "http://[::ffff:10.0.0.1]:#/a",
        "http://224.0.0.1/a",
        "http://255.255.255.255/a",
        "http://rebind.test:#/a",
        "http://mapped.test:#/a",
        "http://metadata.test:#/a",
        "http://private.test:#/a",
        "http://turns.test:#/a",
        "http://REBIND.TEST.:#/a",
        "//rebind.test:#/a",
    ];
    let port = port.to_string();
    all.map(|spelling| {
        // A fragment is one of the spellings.
        let spelling = spelling
            .replace("##", "#\0")
            .replace('#', &port)
            .replace('\0', "#");
        (spelling, Refused(PolicyRule::Address))
    })
    .into()
}

/// What leads home, to nobody, or nowhere.
fn harmless(file: &str) -> Vec<(String, Fate)> {
    let all = [
        (file, Home),
        ("/etc/passwd", Home),
        ("../../../../../etc/passwd", Home),
        ("%2e%2e/%2e%2e/etc/passwd", Home),
        ("..%2f..%2fetc/passwd", Home),
        ("..\\..\\windows\\win.ini", Home),
        ("~/.ssh/id_rsa", Home),
        ("$HOME/x", Home),
        ("http:/127.0.0.1/x", Home),
        ("http:127.0.0.1/x", Home),
        ("./file:///etc/passwd", Home),
        ("a,b:/etc/passwd", Home),
        ("subfile,,start,0,end,9,,:/etc/passwd", Home),
        ("\\\\server\\share\\a.ts", Nobody),
        ("//server/share/a.ts", Nobody),
        ("http://h\u{43e}me.test/a", Nobody),
        ("http://home.test.example/a", Nobody),
        ("http://[::1", Broken),
        ("http://[fe80::1%25eth0]/a", Broken),
        ("http://", Broken),
        ("///127.0.0.1/a", Broken),
        ("file://user:word@localhost/etc/passwd", Broken),
        ("file://localhost:80/etc/passwd", Broken),
        ("http://127.0.0.1:99999/a", Broken),
        ("http://256.256.256.256/a", Broken),
        ("http://127.0.0.1%00/a", Broken),
        ("http://a b/a", Broken),
        ("http://0x7f.0.0.0.1/a", Broken),
    ];
    all.map(|(reference, fate)| (reference.to_owned(), fate))
        .into()
}

/// A server, what it may not lead to, and a client that takes it for far away.
struct Trial {
    home: FaultServer,
    canary: Canary,
    names: Arc<Names>,
    net: Arc<dyn Net>,
    /// Whoever opens it hangs, and whoever has read it has the secret.
    file: String,
    _folder: tempfile::TempDir,
    done: usize,
    /// Everything that came out otherwise than it should.
    wrong: Vec<String>,
}

impl Trial {
    fn new(secure: bool) -> Self {
        let home = FaultServer::start();
        home.serve("/s.aac", Script::file(vec![7; 64]));
        let names = Names::new(&[
            ("rebind.test", &["127.0.0.1"]),
            ("mapped.test", &["::ffff:127.0.0.1"]),
            ("metadata.test", &["169.254.169.254"]),
            ("private.test", &["10.0.0.1", "fd00::1"]),
            (
                "turns.test",
                &["127.0.0.1", "10.0.0.1", "::1", "169.254.1.1"],
            ),
        ]);
        let net = FarAway::net(&names, secure);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("canary.ts");
        make_pipe(&path);
        Self {
            home,
            canary: Canary::start(),
            names,
            net,
            file: path.to_str().unwrap().to_owned(),
            _folder: folder,
            done: 0,
            wrong: Vec::new(),
        }
    }

    fn open(&mut self, script: Script) -> (usize, Option<StreamError>) {
        self.done += 1;
        let path = format!("/{}.m3u8", self.done);
        self.home.serve(&path, script);
        let url = format!("http://{HOME}:{}{path}", self.home.addr().port());
        let before = self.home.requests().len();
        let config = HlsConfig::new(Url::parse(&url).unwrap(), self.net.clone());
        let (bytes, failure) = drain(config);
        assert!(bytes.is_empty(), "{bytes:?} came of it");
        (before, failure)
    }

    fn check(&mut self, what: &str, text: String, expected: Fate) {
        let (before, failure) =
            self.open(Script::file(text).media_type("application/vnd.apple.mpegurl"));
        self.judge(what, failure.as_ref(), expected);
        for request in &self.home.requests()[before + 1..] {
            let path = request.path.as_str();
            if path != "/s.aac" && expected != Home {
                self.wrong.push(format!("{what}: asked for {path}"));
            }
        }
    }

    fn judge(&mut self, what: &str, failure: Option<&StreamError>, expected: Fate) {
        let fits = |error: &&StreamError| match expected {
            Refused(expected) => rule(error) == Some(expected),
            Broken => matches!(hls_error(error), HlsError::Reference { .. }),
            Home => matches!(net_error(error), Some(NetError::Http { status: 404, .. })),
            Nobody => matches!(net_error(error), Some(NetError::Dns { .. })),
        };
        if failure.filter(fits).is_none() {
            let fault = format!("{what}: {expected:?}, but {failure:?}");
            self.wrong.push(fault);
        }
        if let Some(peer) = self.canary.visitor() {
            self.wrong
                .push(format!("{what}: the canary was reached from {peer}"));
        }
    }

    fn assert_nothing_wrong(&self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

#[cfg(unix)]
fn make_pipe(path: &std::path::Path) {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a path that ends in NUL, and lives as long as the call.
    #[allow(unsafe_code)]
    let made = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
    assert_eq!(made, 0);
}

#[cfg(not(unix))]
fn make_pipe(path: &std::path::Path) {
    std::fs::write(path, SECRET).unwrap();
}

#[test]
fn no_reference_leads_to_another_scheme_a_file_or_a_closer_address() {
    let mut trial = Trial::new(false);
    let port = trial.canary.port;
    let mut table = schemes(&trial.file, port);
    table.extend(addresses(port));
    table.extend(harmless(&trial.file));
    assert!(table.len() >= 200, "{} spellings", table.len());
    for (reference, fate) in &table {
        for place in PLACES {
            let what = format!("{place} {reference:?}");
            trial.check(&what, playlist(place, reference), *fate);
        }
    }
    trial.assert_nothing_wrong();
    let strangers = trial.names.strangers.lock().unwrap();
    let known = ["server", "xn--hme-sed.test", "home.test.example"];
    for name in strangers.iter() {
        assert!(known.contains(&name.as_str()), "{name} was looked up");
    }
}

#[test]
fn no_redirect_leads_where_no_reference_may() {
    let mut trial = Trial::new(false);
    let port = trial.canary.port;
    let mut table = schemes(&trial.file, port);
    table.extend(addresses(port));
    // A header is ASCII without control characters.
    table.retain(|(target, _)| target.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    assert!(table.len() >= 120, "{} spellings", table.len());
    for (number, (target, fate)) in table.iter().enumerate() {
        let path = format!("/hop-{number}");
        trial.home.serve(&path, Script::redirect(302, target));
        for place in PLACES {
            let what = format!("{place} by a redirect to {target:?}");
            let text = playlist(place, &path);
            let script = Script::file(text).media_type("application/vnd.apple.mpegurl");
            let (_, failure) = trial.open(script);
            trial.judge(&what, failure.as_ref(), *fate);
        }
    }
    trial.assert_nothing_wrong();
}

#[test]
fn what_came_over_tls_leads_to_nothing_without() {
    let mut trial = Trial::new(true);
    let plain = format!("http://{HOME}:{}/s.aac", trial.home.addr().port());
    for place in PLACES {
        trial.check(
            place,
            playlist(place, &plain),
            Refused(PolicyRule::Downgrade),
        );
    }
    trial.assert_nothing_wrong();
}

#[test]
fn cloud_metadata_is_closer_than_loopback() {
    let home = FaultServer::start();
    for place in PLACES {
        home.serve("/s.aac", Script::file(vec![7; 64]));
        let text = playlist(place, "http://169.254.169.254/latest/meta-data/");
        home.serve("/a.m3u8", Script::file(text));
        let (_, failure) = drain(config(&home.url("/a.m3u8")));
        let error = failure.expect(place);
        assert_eq!(
            rule(&error),
            Some(PolicyRule::Address),
            "{place}: {error:?}"
        );
    }
}

/// What goes to anybody.
const SAFE: [&str; 6] = [
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "range",
    "if-range",
];

#[test]
fn a_stranger_named_by_a_playlist_gets_nothing_of_the_callers() {
    for place in PLACES {
        for redirected in [false, true] {
            let (home, stranger) = (FaultServer::start(), FaultServer::start());
            let there = stranger.url("/there");
            let body = match place {
                "variant" | "rendition" => playlist("segment", "/own.aac").into_bytes(),
                "key" => vec![1; 16],
                _ => vec![7; 64],
            };
            stranger.serve("/there", Script::file(body));
            stranger.serve("/own.aac", Script::file(vec![7; 64]));
            home.serve("/s.aac", Script::file(vec![7; 64]));
            home.serve(
                "/hop",
                Script::redirect(302, &there).header("Set-Cookie", SECRET),
            );
            let reference = if redirected { "/hop" } else { &there };
            let list = playlist(place, reference);
            home.serve("/a.m3u8", Script::file(list).header("Set-Cookie", SECRET));
            let url = format!("http://user:{SECRET}@{}/a.m3u8?token={SECRET}", home.addr());
            let url = Url::parse(&url).unwrap();
            let headers = Headers::new()
                .with("X-Api-Key", SECRET)
                .and_then(|headers| headers.with("Cookie", SECRET))
                .and_then(|headers| headers.with("Referer", SECRET))
                .unwrap();
            let mut options = NetOptions::default();
            options.headers = vec![(Origin::of(&url).unwrap(), headers.clone())];
            let keys = KeyOptions::new()
                .with_headers(&url, headers)
                .with_query(&url, "secret", SECRET);
            let config = HlsConfig::new(url, client(options)).with_keys(keys);
            // A key that is none, and a segment that is no cipher: what is asked for is the question.
            let (_, failure) = drain(config);
            if let Some(error) = failure {
                assert!(!format!("{error:?} {error}").contains(SECRET), "{error:?}");
            }
            let asked = stranger.requests();
            assert!(!asked.is_empty(), "{place}: the stranger was asked");
            for request in asked {
                for (name, value) in &request.headers {
                    let safe = SAFE.contains(&name.as_str());
                    assert!(safe, "{place}: the stranger was told {name}: {value}");
                }
                assert!(!format!("{request:?}").contains(SECRET), "{place}");
            }
            assert!(home.requests()[0].header("authorization").is_some());
            assert_eq!(home.requests()[0].header("x-api-key"), Some(SECRET));
        }
    }
}

#[test]
fn what_a_playlist_names_at_home_is_asked_for_with_what_home_is_owed() {
    let home = FaultServer::start();
    home.serve("/list.m3u8", Script::file(playlist("segment", "s.aac")));
    home.serve("/s.aac", Script::file(vec![7; 64]));
    home.serve("/a.m3u8", Script::file(playlist("variant", "list.m3u8")));
    let url = format!("http://user:{SECRET}@{}/a.m3u8", home.addr());
    let (bytes, failure) = drain(config(&url));
    assert!(failure.is_none() && bytes.len() == 64, "{failure:?}");
    let with = |request: &LoggedRequest| request.header("authorization").is_some();
    let requests = home.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert!(!request.path.contains(SECRET));
    }
    // Relative references inherit the password, as a header: it is in no path.
    let owed: Vec<_> = requests.iter().map(with).collect();
    assert_eq!(owed, [true; 3]);
}

#[test]
fn a_name_that_only_looks_like_home_is_owed_nothing() {
    // A Cyrillic letter, a letter that is none, a dot, another port, a name above and one below.
    let names = Names::new(&[
        ("xn--hme-sed.test", &["127.0.0.1"]),
        ("xn--hme-sna.test", &["127.0.0.1"]),
        ("test", &["127.0.0.1"]),
        ("a.home.test", &["127.0.0.1"]),
        ("localhost", &["127.0.0.1"]),
    ]);
    let (home, other) = (FaultServer::start(), FaultServer::start());
    let (port, elsewhere) = (home.addr().port(), other.addr().port());
    for (host, port, owed) in [
        ("home.test", port, true),
        ("HOME.TEST", port, true),
        ("h\u{ff4f}me.test", port, true),
        ("%68ome.test", port, true),
        ("stranger:word@home.test", port, true),
        ("home.test.", port, false),
        ("h\u{43e}me.test", port, false),
        ("h\u{f6}me.test", port, false),
        ("a.home.test", port, false),
        ("test", port, false),
        ("127.0.0.1", port, false),
        ("home.test@127.0.0.1", port, false),
        ("localhost", port, false),
        ("home.test", elsewhere, false),
    ] {
        for place in PLACES {
            let what = format!("{place} at {host}:{port}");
            let there = format!("http://{host}:{port}/there");
            for server in [&home, &other] {
                let body = match place {
                    "variant" | "rendition" => playlist("segment", "/s.aac").into_bytes(),
                    "key" => vec![1; 16],
                    _ => vec![7; 64],
                };
                server.serve("/there", Script::file(body));
                server.serve("/s.aac", Script::file(vec![7; 64]));
            }
            home.serve("/a.m3u8", Script::file(playlist(place, &there)));
            let url = format!("http://user:{SECRET}@{HOME}:{}/a.m3u8", home.addr().port());
            let url = Url::parse(&url).unwrap();
            let headers = Headers::new().with("X-Api-Key", SECRET).unwrap();
            let mut options = NetOptions::default();
            options.resolver = Some(names.clone());
            options.headers = vec![(Origin::of(&url).unwrap(), headers)];
            let before = (
                home.requests_for("/there").len(),
                other.requests_for("/there").len(),
            );
            drain(HlsConfig::new(url, client(options)));
            let mut asked = home.requests_for("/there").split_off(before.0);
            asked.extend(other.requests_for("/there").split_off(before.1));
            let [request] = &asked[..] else {
                panic!("{what}: asked once, but {asked:?}");
            };
            let has = request.header("x-api-key") == Some(SECRET);
            assert_eq!(has, owed, "{what}: {request:?}");
            // Who is named by the playlist is not the caller.
            let named = host.contains('@');
            let secret = format!("{request:?}").contains("dXNlcjp");
            assert_eq!(secret, owed && !named, "{what}: {request:?}");
        }
    }
}
