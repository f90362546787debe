//! The few rules about the repository itself that a program can check.

#![allow(clippy::unwrap_used)] // A rule that cannot be checked is a failed test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Who may know whom; ARCHITECTURE.md gives the reasons.
const EDGES: &[(&str, &[&str])] = &[
    ("kithara-bufpool", &[]),
    ("kithara-storage", &[]),
    ("kithara-net", &[]),
    ("kithara-abr", &[]),
    ("kithara-drm", &[]),
    ("kithara-assets", &["kithara-storage"]),
    (
        "kithara-stream",
        &["kithara-assets", "kithara-net", "kithara-storage"],
    ),
    ("kithara-file", &["kithara-stream"]),
    (
        "kithara-hls",
        &["kithara-abr", "kithara-drm", "kithara-stream"],
    ),
    ("kithara-decode", &["kithara-bufpool", "kithara-stream"]),
    (
        "kithara-audio",
        &["kithara-bufpool", "kithara-decode", "kithara-stream"],
    ),
    (
        "kithara",
        &[
            "kithara-abr",
            "kithara-assets",
            "kithara-audio",
            "kithara-bufpool",
            "kithara-decode",
            "kithara-drm",
            "kithara-file",
            "kithara-hls",
            "kithara-net",
            "kithara-storage",
            "kithara-stream",
        ],
    ),
];

/// Third-party crates whose types stay inside these crates.
const OWNERS: &[(&str, &[&str])] = &[
    ("reqwest", &["kithara-net"]),
    ("symphonia", &["kithara-decode"]),
    ("rangemap", &["kithara-storage"]),
    ("mmap-io", &["kithara-storage"]),
    ("xxhash-rust", &["kithara-storage"]),
    ("fs4", &["kithara-storage"]),
    ("sha2", &["kithara-assets"]),
    ("bincode", &["kithara-assets"]),
    ("kanal", &["kithara-assets"]),
    ("aes", &["kithara-drm"]),
    ("cbc", &["kithara-drm"]),
    ("zeroize", &["kithara-drm", "kithara-hls"]),
    ("rtrb", &["kithara-audio"]),
    ("rodio", &["kithara"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The direct dependencies of each library crate, without those of its tests.
fn dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let library = |package: &&Value| {
        package["manifest_path"]
            .as_str()
            .unwrap()
            .contains("/crates/kithara")
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .filter(library)
        .map(|package| {
            let direct = package["dependencies"].as_array().unwrap().iter();
            let direct = direct.filter(|one| one["kind"].is_null());
            let names = direct.map(|one| one["name"].as_str().unwrap().to_owned());
            (
                package["name"].as_str().unwrap().to_owned(),
                names.collect(),
            )
        })
        .collect()
}

#[test]
fn the_crates_know_only_whom_they_may_know() {
    let known = dependencies(&metadata());
    assert_eq!(known.len(), EDGES.len(), "every crate is listed");
    for (name, allowed) in EDGES {
        let ours = known[*name]
            .iter()
            .filter(|other| other.starts_with("kithara"));
        for other in ours {
            assert!(
                allowed.contains(&other.as_str()),
                "{name} must not know {other}"
            );
        }
    }
}

#[test]
fn third_party_types_stay_with_their_owners() {
    let known = dependencies(&metadata());
    for (third, owners) in OWNERS {
        for (name, direct) in &known {
            let allowed = owners.contains(&name.as_str());
            assert!(
                allowed || !direct.contains(*third),
                "{name} must not use {third}"
            );
        }
    }
}

#[test]
fn no_dependency_needs_a_newer_rust_than_we_state() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let version = |package: &Value| {
        let text = package["rust_version"].as_str()?;
        let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap());
        Some((parts.next()?, parts.next().unwrap_or(0)))
    };
    let ours = packages
        .iter()
        .find(|package| package["name"] == "kithara")
        .and_then(version);
    let used = shipped(&metadata);
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if used.contains(package["id"].as_str().unwrap()) {
            assert!(
                version(package) <= ours,
                "{name} needs {:?}",
                package["rust_version"]
            );
        }
    }
}

/// Every package a user of `kithara` builds.
fn shipped(metadata: &Value) -> BTreeSet<String> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let node = |id: &str| nodes.iter().find(|node| node["id"] == id).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let start = packages
        .iter()
        .find(|package| package["name"] == "kithara")
        .unwrap();
    let mut seen = BTreeSet::new();
    let mut open = vec![start["id"].as_str().unwrap().to_owned()];
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for dep in node(&id)["deps"].as_array().unwrap() {
            let normal = dep["dep_kinds"]
                .as_array()
                .unwrap()
                .iter()
                .any(|kind| kind["kind"] != "dev");
            if normal {
                open.push(dep["pkg"].as_str().unwrap().to_owned());
            }
        }
    }
    seen
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_fits_one_head() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 50, "the files were found");
    for file in files {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 700, "{} has {lines} lines", file.display());
    }
}

#[test]
fn no_example_is_left_uncompiled() {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    let mark = ["```", "ignore"].concat();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&mark), "{}", file.display());
    }
}
