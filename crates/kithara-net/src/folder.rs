//! The files that a playlist on this machine may refer to.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use url::Url;

use crate::error::NetError;
use crate::file_answer::answer;
use crate::file_path;
use crate::net::Net;
use crate::policy::{self, Folder, Grants, PolicyRule, Zone};
use crate::redact::RedactedUrl;
use crate::request::Request;
use crate::response::Response;

/// Makes the client for what is not on this machine.
type Connect = dyn Fn() -> Result<Arc<dyn Net>, NetError> + Send + Sync;

/// A [`Net`] for a playlist on this machine: it reads `file` URLs, where the policy lets it, and leaves those of servers to a
/// client, which is made when the first of them is asked for.
///
/// The playlist itself may lie anywhere: the caller named it. What documents on this machine refer to must lie below the
/// playlist's folder or below a granted one, after links are resolved; what comes from a server refers to no file at all.
/// References are relative to the folder a playlist is named in, as that is without links.
///
/// A file answers as a server with ranges and strong entity tags does. What can't be read fails with [`NetError::File`],
/// what is no regular file with [`NetError::Unsupported`], and neither is tried again. A file that is changed while it is
/// read fails with [`NetError::ContentChanged`] or [`NetError::Truncated`]. The disk is read on blocking threads of the tokio
/// runtime that polls it.
#[derive(Clone)]
pub struct FolderNet {
    place: Arc<Place>,
}

struct Place {
    playlist: PathBuf,
    url: Url,
    roots: Vec<PathBuf>,
    /// Looked up when the first file is asked for: what becomes a link later leads nowhere new.
    grants: OnceLock<Grants>,
    connect: Box<Connect>,
    client: OnceLock<Arc<dyn Net>>,
}

/// A file that may be read.
pub(crate) struct Opened {
    pub file: File,
    pub metadata: Metadata,
    /// The zone of what is in it.
    pub zone: Zone,
    /// What references in it are relative to.
    pub base: Url,
}

impl FolderNet {
    /// For the playlist at that path; files below `roots` may be referred to as well. A root that is not there grants nothing.
    /// Only the current directory is looked up; the disk is not.
    ///
    /// # Errors
    /// If the path is relative and there is no current directory, or if it is no path of a file.
    pub fn new(
        playlist: &Path,
        roots: Vec<PathBuf>,
        connect: impl Fn() -> Result<Arc<dyn Net>, NetError> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let playlist = std::path::absolute(playlist)?;
        let place = Place {
            url: url_of(&playlist)?,
            playlist,
            roots,
            grants: OnceLock::new(),
            connect: Box::new(connect),
            client: OnceLock::new(),
        };
        Ok(Self {
            place: Arc::new(place),
        })
    }

    /// The URL of the playlist.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.place.url
    }
}

impl fmt::Debug for FolderNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderNet")
            .field("playlist", &self.place.playlist)
            .field("roots", &self.place.roots)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Net for FolderNet {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let (place, url) = (Arc::clone(&self.place), request.redacted());
        if matches!(request.url.scheme(), "http" | "https") {
            let client = blocking(&url, move || place.client()).await?;
            return client.fetch(request).await;
        }
        tracing::debug!(target: "kithara_net", %url, range = ?request.range, "file");
        let (request, opened) = blocking(&url, move || {
            let opened = place.open(&request)?;
            Ok((request, opened))
        })
        .await?;
        answer(&request, opened)
    }
}

/// Does what may block on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    url: &RedactedUrl,
    work: impl FnOnce() -> Result<T, NetError> + Send + 'static,
) -> Result<T, NetError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|gone| Err(failed(url)(io::Error::other(gone))))
}

/// What the system said of a file.
pub(crate) fn failed(url: &RedactedUrl) -> impl Fn(io::Error) -> NetError {
    let url = url.clone();
    move |source| NetError::File {
        url: url.clone(),
        source,
    }
}

impl Place {
    /// Making a client reads certificates from the disk.
    fn client(&self) -> Result<Arc<dyn Net>, NetError> {
        if let Some(client) = self.client.get() {
            return Ok(Arc::clone(client));
        }
        let client = (self.connect)()?;
        Ok(Arc::clone(self.client.get_or_init(|| client)))
    }

    fn grants(&self) -> io::Result<&Grants> {
        if let Some(grants) = self.grants.get() {
            return Ok(grants);
        }
        let mut folders = vec![look_up(parent(&self.playlist)?)?];
        for root in &self.roots {
            match look_up(root) {
                Ok(folder) => folders.push(folder),
                Err(error) => {
                    tracing::warn!(target: "kithara_net", root = %root.display(), %error, "grants nothing");
                }
            }
        }
        Ok(self.grants.get_or_init(|| Grants {
            folders,
            ..Grants::default()
        }))
    }

    /// Opens a file, if the policy lets it be read: by its name, and then by where its links lead.
    ///
    /// A folder of the way could be exchanged for a link between these steps. So what was opened is asked where it lies, and
    /// judged once more. Linux tells that of the open file itself. Elsewhere the path is resolved again, which misses whoever
    /// may write to the folder, exchanges it at the right moment, and puts it back in time: the standard library has no open
    /// that follows no links. Nor is covered that a pipe takes the place of the file between the look at it and the open, which
    /// then waits on its thread. A hard link in the folder is a file of the folder.
    fn open(&self, request: &Request) -> Result<Opened, NetError> {
        let url = request.redacted();
        let (failed, refused) = (failed(&url), refused(&url));
        let grants = self.grants().map_err(&failed)?;
        policy::judge(&request.url, request.zone, request.purpose, grants).map_err(&refused)?;
        let path = match request.zone {
            // As the caller spelled it: what steps upwards does so behind links.
            None if request.url == self.url => self.playlist.clone(),
            _ => file_path::of(&request.url).map_err(&refused)?,
        };
        let real = path.canonicalize().map_err(&failed)?;
        let judge = |real: &Path| policy::judge_file(real, request.zone, grants).map_err(&refused);
        judge(&real)?;
        // Before it is opened: opening a pipe waits for its writer, and opening a device may act.
        require_regular(&real.metadata().map_err(&failed)?, &url)?;
        let file = File::open(&real).map_err(&failed)?;
        let metadata = file.metadata().map_err(&failed)?;
        require_regular(&metadata, &url)?;
        let zone = judge(&place_of(&file, &real).map_err(&failed)?)?;
        let folder = parent(&path).and_then(Path::canonicalize);
        let base = folder.and_then(|folder| {
            let name = path.file_name().unwrap_or_default();
            url_of(&folder.join(name))
        });
        Ok(Opened {
            file,
            metadata,
            zone,
            base: base.map_err(&failed)?,
        })
    }
}

fn refused(url: &RedactedUrl) -> impl Fn(PolicyRule) -> NetError {
    let url = url.clone();
    move |rule| NetError::Policy {
        url: url.clone(),
        rule,
    }
}

fn require_regular(metadata: &Metadata, url: &RedactedUrl) -> Result<(), NetError> {
    let what = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory is no file",
        _ => "a device, pipe or socket is no file",
    };
    let url = url.clone();
    Err(NetError::Unsupported { url, what })
}

/// Where an open file lies, without links.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn place_of(file: &File, path: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;

    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Not mounted everywhere.
    std::fs::read_link(descriptor).or_else(|_| path.canonicalize())
}

/// Where an open file lies, without links, as far as its path still tells.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn place_of(_file: &File, path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

fn look_up(folder: &Path) -> io::Result<Folder> {
    let given = std::path::absolute(folder)?;
    let real = given.canonicalize()?;
    // As a reference to it reads, which on Windows is not how it is resolved.
    let spelled = file_path::of(&url_of(&real)?).ok();
    Ok(Folder {
        spellings: spelled.into_iter().chain([given]).collect(),
        real,
    })
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))
}

fn url_of(path: &Path) -> io::Result<Url> {
    Url::from_file_path(path).map_err(|()| io::Error::from(io::ErrorKind::InvalidFilename))
}
