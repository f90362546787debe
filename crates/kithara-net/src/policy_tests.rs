//! The policy as tables of spellings.

use super::*;

use PolicyRule::{Address, Downgrade, Scheme};

/// What is decided on `text` when a document of this zone refers to it, relative references included. `None` where it
/// is no URL at all.
fn decide(text: &str, base: &str, floor: AddressClass) -> Option<Result<(), PolicyRule>> {
    let base = Url::parse(base).unwrap();
    let zone = Zone::new(floor, &base);
    let url = base.join(text).ok()?;
    Some(judge(&url, Some(zone), Purpose::Media, &Grants::default()))
}

fn refused(spellings: &[&str], base: &str, floor: AddressClass, rule: PolicyRule) {
    for text in spellings {
        let decision = decide(text, base, floor);
        assert!(matches!(decision, None | Some(Err(_))), "{text:?} passes");
        if let Some(Err(got)) = decision {
            assert_eq!(got, rule, "{text:?}");
        }
    }
}

fn allowed(spellings: &[&str], base: &str, floor: AddressClass) {
    for text in spellings {
        assert_eq!(decide(text, base, floor), Some(Ok(())), "{text:?}");
    }
}

const HTTP: &str = "http://h.example/a/b";
const HTTPS: &str = "https://h.example/a/b";

#[test]
fn no_spelling_of_another_scheme_passes() {
    let spellings = [
        "file:///etc/passwd",
        "file:/etc/passwd",
        "file:etc/passwd",
        "FILE:///etc/passwd",
        "File:/x",
        "fIlE:x",
        "file://localhost/etc/passwd",
        "file://127.0.0.1/etc/passwd",
        "file:\\\\host\\share",
        "file:///C:/x",
        " file:///x",
        "\tfile:///x",
        "\nfile:///x",
        "file:///x ",
        "fi\tle:///x",
        "f\nile:///x",
        "fil\re:///x",
        "\u{0}file:///x",
        "\u{1f}file:///x",
        "file:\t///x",
        "file:/\n//x",
        "\u{b}file:///x",
        "\u{c}file:/x",
        "C:\\x",
        "c:/x",
        "C:x",
        "z:",
        "A:\\windows\\win.ini",
        "data:,x",
        "data:text/plain,x",
        "DATA:,x",
        "data:audio/mpeg;base64,AAAA",
        " data:,x",
        "da\tta:,x",
        "blob:http://h.example/x",
        "blob:https://h.example/x",
        "filesystem:http://h.example/x",
        "javascript:alert(1)",
        "JavaScript:x",
        "java\nscript:x",
        "javascript://h.example/%0aalert(1)",
        "vbscript:x",
        "ftp://h.example/x",
        "FTP://h.example/x",
        "ftps://h.example/x",
        "sftp://h.example/x",
        "tftp://h.example/x",
        "ws://h.example/x",
        "wss://h.example/x",
        "gopher://h.example:70/x",
        "dict://h.example/x",
        "ldap://h.example/",
        "ldaps://h.example/",
        "smb://h.example/x",
        "cifs://h.example/x",
        "nfs://h.example/x",
        "afp://h.example/x",
        "rtsp://h.example/x",
        "rtmp://h.example/x",
        "mms://h.example/x",
        "rtp://h.example/",
        "udp://h.example:1",
        "tcp://h.example:1",
        "tls://h.example:1",
        "unix:/run/x",
        "pipe:0",
        "fd:0",
        "async:http://h.example/x",
        "concat:http://h.example/x|file:///x",
        "subfile:,,start,0,end,1,,:http://h.example/x",
        "crypto:http://h.example/x",
        "crypto+http://h.example/x",
        "hls+http://h.example/x",
        "httpproxy://h.example/",
        "cache:http://h.example/x",
        "view-source:http://h.example/x",
        "about:blank",
        "mailto:a@h.example",
        "tel:1",
        "urn:x:y",
        "jar:http://h.example/!x",
        "resource://x",
        "chrome://x",
        "res://x",
        "ms-its:x",
        "intent:x",
        "content://x",
        "android-app://x",
        "app:x",
        "http+unix://%2frun%2fx/",
        "git://h.example/",
        "ssh://h.example/",
        "telnet://h.example/",
        "finger://h.example/",
        "h2://h.example/",
        "httpx://h.example/",
        "xhttp://h.example/",
        "https2://h.example/",
        "http-://h.example/",
        "magnet:?xt=x",
        "bitcoin:x",
        "feed:http://h.example/x",
        "pcast://h.example/x",
        "itpc://h.example/x",
    ];
    refused(&spellings, HTTP, AddressClass::Local, Scheme);
    refused(&spellings, HTTPS, AddressClass::Public, Scheme);
    assert!(spellings.len() >= 90);
    // The caller is no exception: there is nothing to ask such a URL with.
    for text in spellings {
        if let Ok(url) = Url::parse(text) {
            assert_eq!(
                judge(&url, None, Purpose::Media, &Grants::default()),
                Err(Scheme),
                "{text:?}"
            );
        }
    }
}

#[test]
fn no_spelling_of_this_machine_passes_for_the_public() {
    let spellings = [
        "http://localhost/",
        "http://LOCALHOST/",
        "http://localhost./",
        "http://localhost../",
        "http://a.localhost/",
        "http://a.LocalHost./",
        "http://loc\talhost/",
        "http://%6cocalhost/",
        "http://\u{ff4c}ocalhost/",
        "http://user@localhost/",
        "http://h.example@localhost/",
        "http://h.example:80@localhost:80/",
        "//localhost/",
        "\\\\localhost/",
        "/\\localhost/",
        "\\/localhost/",
        "///localhost/",
        "http:\\\\localhost\\",
        "http:///localhost/",
        "http:////localhost/",
        "  http://localhost/",
        "ht\ntp://localhost/",
        "HTTP://localhost/",
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://127.0.0.1:8080/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.255.255.255/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0x7F.0.0.0x1/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://0177.0x0.0.1/",
        "http://0177.1/",
        "http://127.0.0.0x1/",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        "http://127\u{3002}0\u{3002}0\u{3002}1/",
        "http://127%2e0%2e0%2e1/",
        "http://%31%32%37.0.0.1/",
        "http://1\t27.0.0.1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://0.0/",
        "http://0x0/",
        "http://00/",
        "http://0.1.2.3/",
        "http://[::1]/",
        "http://[::]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[0000::0001]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::FFFF:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[::ffff:0:127.0.0.1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:0:0:0:0:80ff:fffe]/",
        "http://[::ffff:0.0.0.0]/",
        "http://[fe80::1]/",
        "http://[fe80:0:0:0:1::]/",
        "http://[febf::]/",
        "http://169.254.1.1/",
        "http://2851995905/",
        "http://224.0.0.1/",
        "http://[ff02::1]/",
        "http://255.255.255.255/",
        "http://4294967295/",
        "http://240.0.0.1/",
    ];
    refused(&spellings, HTTP, AddressClass::Public, Address);
    refused(&spellings, HTTP, AddressClass::Private, Address);
    allowed(
        &["http://localhost/", "http://127.1/", "http://[::1]/"],
        HTTP,
        AddressClass::Local,
    );
    assert!(spellings.len() >= 70);
}

#[test]
fn no_spelling_of_a_private_network_passes_for_the_public() {
    let spellings = [
        "http://10.0.0.1/",
        "http://10.1/",
        "http://0xa000001/",
        "http://167772161/",
        "http://012.0.0.1/",
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://0xac100001/",
        "http://192.168.0.1/",
        "http://192.168.1/",
        "http://3232235521/",
        "http://0300.0250.0.1/",
        "http://0xc0.0xa8.0.1/",
        "http://100.64.0.1/",
        "http://198.18.0.1/",
        "http://192.0.0.1/",
        "http://[fc00::1]/",
        "http://[fd12:3456::1]/",
        "http://[fec0::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::ffff:c0a8:1]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[64:ff9b:1::1]/",
        "http://[2002:a00:1::]/",
        "http://[2002:c0a8:101::1]/",
        "//10.0.0.1/",
        "\\\\192.168.0.1\\x",
        "http://h.example@10.0.0.1/",
        "http://10\u{3002}0.0.1/",
    ];
    refused(&spellings, HTTP, AddressClass::Public, Address);
    allowed(&spellings, HTTP, AddressClass::Private);
    allowed(&spellings, HTTP, AddressClass::Local);
}

#[test]
fn metadata_is_out_of_reach_from_everywhere() {
    let spellings = [
        "http://169.254.169.254/latest/",
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::169.254.169.254]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[fd00:ec2::254]/",
        "http://[fd00:0ec2:0::254]/",
        "http://169.254.170.2/",
        "http://100.100.100.200/",
        "http://192.0.0.192/",
        "http://168.63.129.16/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://metadata.goog/",
        "http://user@169.254.169.254:80/",
    ];
    for floor in [
        AddressClass::Metadata,
        AddressClass::Local,
        AddressClass::Private,
        AddressClass::Public,
    ] {
        refused(&spellings, HTTP, floor, Address);
    }
    let url = Url::parse("http://169.254.169.254/").unwrap();
    let zone = Some(Zone::new(AddressClass::Public, &url));
    let grants = Grants {
        hosts: vec!["169.254.169.254".to_owned()],
        ..Grants::default()
    };
    assert_eq!(
        judge(&url, zone, Purpose::Media, &grants),
        Ok(()),
        "but for the explicit list"
    );
    assert_eq!(
        judge(&url, None, Purpose::Media, &Grants::default()),
        Ok(()),
        "and the caller's own word"
    );
}

#[test]
fn what_came_over_https_stays_there() {
    let down = [
        "http://h.example/",
        "HTTP://h.example/x",
        "http://other.example/",
        "ht\ttp://h.example/",
        "http:/x",
        "http:x",
    ];
    refused(&down, HTTPS, AddressClass::Public, Downgrade);
    let fine = [
        "https://h.example/",
        "//other.example/",
        "x",
        "/x",
        "?x",
        "#x",
        "../x",
        "https:x",
        "\\x",
        "https://8.8.8.8/",
    ];
    allowed(&fine, HTTPS, AddressClass::Public);
    allowed(
        &[
            "https://h.example/",
            "http://h.example/",
            "//o.example/x",
            "x",
        ],
        HTTP,
        AddressClass::Public,
    );
    let url = Url::parse("http://h.example/").unwrap();
    let zone = Some(Zone::new(AddressClass::Public, &Url::parse(HTTPS).unwrap()));
    let grants = Grants {
        downgrade: true,
        ..Grants::default()
    };
    assert_eq!(judge(&url, zone, Purpose::Media, &grants), Ok(()));
}

#[test]
fn a_twin_of_a_name_is_another_name() {
    let grants = Grants {
        hosts: vec!["nas.example".to_owned()],
        ..Grants::default()
    };
    for (text, named) in [
        ("http://nas.example/", true),
        ("http://NAS.example./", true),
        ("http://n\u{430}s.example/", false),
        ("http://nas.example.evil.example/", false),
        ("http://nas.example@evil.example/", false),
        ("http://evil-nas.example/", false),
        ("http://xn--ns-7kc.example/", false),
    ] {
        assert_eq!(grants.names(&Url::parse(text).unwrap()), named, "{text}");
    }
}

#[test]
fn a_document_may_not_name_the_proxy() {
    let grants = Grants {
        proxies: vec!["proxy.example".to_owned()],
        ..Grants::default()
    };
    let url = Url::parse("http://PROXY.example:3128/").unwrap();
    let zone = Some(Zone::new(AddressClass::Public, &url));
    assert_eq!(judge(&url, zone, Purpose::Media, &grants), Err(Address));
    assert_eq!(judge(&url, None, Purpose::Media, &grants), Ok(()));
}

#[test]
fn the_peer_is_judged_whatever_its_name_promised() {
    use AddressClass::{Local, Metadata, Private, Public};
    let url = Url::parse(HTTP).unwrap();
    let none = Grants::default();
    let listed = Grants {
        hosts: vec!["h.example".to_owned()],
        ..Grants::default()
    };
    for class in [Metadata, Local, Private, Public] {
        for floor in [Metadata, Local, Private, Public] {
            let zone = Some(Zone::new(floor, &url));
            let passes = class >= floor.max(Local);
            let got = judge_peer(&url, zone, Some(class), &none);
            assert_eq!(got.is_ok(), passes, "{class} from {floor}");
            assert!(judge_peer(&url, zone, Some(class), &listed).is_ok());
            assert!(judge_peer(&url, zone, None, &none).is_ok());
        }
        // What the caller named sets the floor; metadata never becomes one.
        let zone = judge_peer(&url, None, Some(class), &none).unwrap();
        assert_eq!(zone.floor(), class.max(Local));
    }
    assert_eq!(judge_peer(&url, None, None, &none).unwrap().floor(), Public);
}
