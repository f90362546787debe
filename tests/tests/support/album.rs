//! What the tests of playlists on this machine share: a folder of titles that may be changed, and a network that nobody needs.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use kithara::ResourceConfig;
use kithara::net::{Net, NetError, Request, Response};
use kithara_tests::fixtures::hls;

/// A folder with a folder for titles in it, and what is beside that.
pub struct Album {
    dir: tempfile::TempDir,
}

impl Album {
    /// With copies of these titles.
    pub fn of(folders: &[&str]) -> Self {
        let album = Self::empty();
        for folder in folders {
            album.copy(folder, &format!("album/{folder}"));
        }
        album
    }

    pub fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let album = Self { dir };
        album.make("album");
        album
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn make(&self, name: &str) {
        fs::create_dir_all(self.path(name)).expect("a folder");
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("room for it");
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("it is there");
    }

    /// Copies a title to where it is called otherwise.
    pub fn copy(&self, folder: &str, to: &str) {
        self.make(to);
        for entry in fs::read_dir(fixtures().join(folder)).expect("a title") {
            let from = entry.expect("a file").path();
            let name = from.file_name().expect("a name");
            fs::copy(&from, self.path(to).join(name)).expect("room for it");
        }
    }

    /// The title of that playlist.
    pub fn title(&self, name: &str) -> ResourceConfig {
        on_disk(&self.path(name))
    }
}

/// Where the titles lie.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hls")
}

/// A title at that path, kept nowhere, and with a network that fails the test.
pub fn on_disk(path: &Path) -> ResourceConfig {
    ResourceConfig::from_src(path.to_owned())
        .without_store()
        .with_client(Arc::new(Nobody))
}

/// The playlist of a title, with other lines in place of those that name its segments.
pub fn renamed(folder: &str, name: impl Fn(&str) -> String) -> String {
    let text = hls::text(&format!("{folder}/media.m3u8"));
    let lines = text.lines().map(|line| match line.starts_with('#') {
        true => line.to_owned(),
        false => name(line),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A network that is not to be asked.
struct Nobody;

#[async_trait]
impl Net for Nobody {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        panic!("{request:?} was asked of the network");
    }
}
