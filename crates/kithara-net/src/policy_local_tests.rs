//! What a playlist on this machine may refer to, as tables: by name, by where links lead, and from further away.

use super::*;

use PolicyRule::{Address, Folder as Outside, Machine, Scheme};

const LIST: &str = "file:///music/album/index.m3u8";

fn grants(folders: &[&str]) -> Grants {
    let folder = |path: &&str| Folder {
        spellings: vec![PathBuf::from(path)],
        real: PathBuf::from(path),
    };
    Grants {
        folders: folders.iter().map(folder).collect(),
        ..Grants::default()
    }
}

fn check(zone: Option<Zone>, grants: &Grants, cases: &[(&str, Result<(), PolicyRule>)]) {
    let base = Url::parse(LIST).unwrap();
    for (reference, expected) in cases {
        let url = base.join(reference).unwrap();
        for purpose in [Purpose::Media, Purpose::Playlist, Purpose::Key] {
            let decision = judge(&url, zone, purpose, grants);
            assert_eq!(decision, *expected, "{reference:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_playlist_on_this_machine_reaches_its_folder_and_servers() {
    let cases = [
        ("a.ts", Ok(())),
        ("sub/a.ts", Ok(())),
        ("./a.ts", Ok(())),
        ("sub/../a.ts", Ok(())),
        ("../album/a.ts", Ok(())),
        ("/music/album/a.ts", Ok(())),
        ("file:///music/album/a.ts", Ok(())),
        ("file:a.ts", Ok(())),
        ("..a.ts", Ok(())),
        ("a%20b.ts", Ok(())),
        ("http://h.example/a.ts", Ok(())),
        ("https://h.example/a.ts", Ok(())),
        ("http://192.168.0.2/a.ts", Ok(())),
        ("http://localhost:8000/a.ts", Ok(())),
        ("http://169.254.169.254/latest/", Err(Address)),
        ("..", Err(Outside)),
        ("../a.ts", Err(Outside)),
        ("../album2/a.ts", Err(Outside)),
        ("../albu", Err(Outside)),
        ("..\\a.ts", Err(Outside)),
        ("%2e%2e/a.ts", Err(Outside)),
        (".%2E/a.ts", Err(Outside)),
        ("%2e%2e%2fa.ts", Err(Outside)),
        ("..%2fa.ts", Err(Outside)),
        ("sub/../../a.ts", Err(Outside)),
        ("/etc/passwd", Err(Outside)),
        ("\\etc\\passwd", Err(Outside)),
        ("///etc/passwd", Err(Outside)),
        ("/", Err(Outside)),
        ("file:/etc/passwd", Err(Outside)),
        ("FILE:///etc/passwd", Err(Outside)),
        ("file:\\\\\\etc\\passwd", Err(Outside)),
        ("file://localhost/etc/passwd", Err(Outside)),
        (" fi\tle:///etc/passwd", Err(Outside)),
        ("file:///C:/x", Err(Outside)),
        ("/C|/x", Err(Outside)),
        ("//host/x", Err(Machine)),
        ("\\\\host\\x", Err(Machine)),
        ("/\\host\\x", Err(Machine)),
        ("file://host/music/album/a.ts", Err(Machine)),
        ("file://127.0.0.1/music/album/a.ts", Err(Machine)),
        ("C:\\x", Err(Scheme)),
        ("c:/x", Err(Scheme)),
        ("data:,x", Err(Scheme)),
        ("ftp://h.example/x", Err(Scheme)),
        ("view-source:file:///music/album/a.ts", Err(Scheme)),
    ];
    check(Some(Zone::local()), &grants(&["/music/album"]), &cases);
}

#[cfg(unix)]
#[test]
fn granted_folders_are_reached_too_but_not_those_beside_them() {
    let grants = grants(&["/music/album", "/music/shared"]);
    let cases = [
        ("a.ts", Ok(())),
        ("../shared/a.ts", Ok(())),
        ("/music/shared/sub/a.ts", Ok(())),
        ("../shared2/a.ts", Err(Outside)),
        ("../a.ts", Err(Outside)),
        ("//shared/a.ts", Err(Machine)),
    ];
    check(Some(Zone::local()), &grants, &cases);
}

#[test]
fn nothing_from_a_server_and_no_client_of_servers_reaches_a_file() {
    let far = Url::parse("http://h.example/a.m3u8").unwrap();
    let files = [LIST, "a.ts", "/etc/passwd", "file://host/x"];
    let refused = files.map(|file| (file, Err(Scheme)));
    for floor in [AddressClass::Local, AddressClass::Public] {
        let zone = Some(Zone::new(floor, &far));
        check(zone, &grants(&["/music/album", "/"]), &refused);
    }
    // Its word would do for a zone, but not for its URL.
    let zone = Some(Zone::new(AddressClass::Local, &Url::parse(LIST).unwrap()));
    check(zone, &grants(&["/"]), &refused);
    check(Some(Zone::local()), &Grants::default(), &refused);
    check(None, &Grants::default(), &refused);
}

#[test]
fn the_caller_names_any_file_of_this_machine() {
    let cases = [
        (LIST, Ok(())),
        ("/elsewhere/list", Ok(())),
        ("//host/x", Err(Machine)),
    ];
    check(None, &grants(&["/music/album"]), &cases);
}

#[test]
fn a_file_is_judged_by_where_its_links_lead() {
    let grants = grants(&["/music/album", "/granted"]);
    for (real, passes) in [
        ("/music/album/a.ts", true),
        ("/granted/sub/a.ts", true),
        ("/music/album2/a.ts", false),
        ("/music/a.ts", false),
        ("/etc/passwd", false),
        ("/", false),
    ] {
        let from_list = judge_file(Path::new(real), Some(Zone::local()), &grants);
        let expected = passes.then(Zone::local).ok_or(Outside);
        assert_eq!(from_list, expected, "{real}");
        let from_caller = judge_file(Path::new(real), None, &grants);
        assert_eq!(from_caller, Ok(Zone::local()), "{real}");
    }
}

#[test]
fn a_server_that_a_file_names_leads_no_closer_than_itself() {
    use AddressClass::{Local, Metadata, Private, Public};
    let url = Url::parse("https://h.example/a.m3u8").unwrap();
    for class in [Local, Private, Public] {
        let zone = judge_peer(&url, Some(Zone::local()), Some(class), &Grants::default());
        assert_eq!(zone, Ok(Zone::new(class, &url)));
    }
    let hidden = judge_peer(&url, Some(Zone::local()), None, &Grants::default());
    assert_eq!(hidden, Ok(Zone::new(Public, &url)));
    let metadata = judge_peer(
        &url,
        Some(Zone::local()),
        Some(Metadata),
        &Grants::default(),
    );
    assert_eq!(metadata, Err(Address));
}
