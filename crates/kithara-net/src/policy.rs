//! The one place that decides whether a URL may be asked for, or a file be read.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::{Host, Url};

use crate::address::AddressClass;
use crate::file_path;
use crate::request::Purpose;

/// A rule that refused a URL or a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyRule {
    /// Only http and https are spoken.
    Scheme,
    /// What came over https may not refer to http.
    Downgrade,
    /// What is further away may not refer to an address that is closer to this machine.
    Address,
    /// More redirects than one request, or all requests of one open, may take.
    Redirects,
    /// A playlist on this machine may refer to files below its own folder, and below those the caller grants.
    Folder,
    /// A file of another machine (UNC) is opened for nobody.
    Machine,
}

impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "only http and https URLs are allowed",
            Self::Downgrade => "https may not lead to http",
            Self::Address => "the address is not public enough for what referred to it",
            Self::Redirects => "too many redirects",
            Self::Folder => {
                "the file is neither below the folder of the playlist nor below a granted one"
            }
            Self::Machine => "files of other machines are not opened",
        })
    }
}

/// Where a document came from, as far as it limits what the document may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone {
    floor: AddressClass,
    secure: bool,
    local: bool,
}

impl Zone {
    /// The zone of a document at `url` in an open whose caller's own URL reached an address of class `floor`.
    pub fn new(floor: AddressClass, url: &Url) -> Self {
        Self {
            floor,
            secure: url.scheme() == "https",
            local: false,
        }
    }

    /// The zone of a document that was read from a file of this machine: it may refer to other files, and to whatever this
    /// machine may reach.
    pub(crate) fn local() -> Self {
        Self {
            floor: AddressClass::Local,
            secure: false,
            local: true,
        }
    }

    /// The lowest class that may be referred to. Metadata addresses are below every floor.
    pub fn floor(&self) -> AddressClass {
        self.floor.max(AddressClass::Local)
    }
}

/// What the caller allows beyond the defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    /// Hosts that may be referred to from anywhere, whatever their address. Lower case, without a trailing dot.
    pub hosts: Vec<String>,
    /// Hosts that only the caller may name: the proxies, which the connect hook has to let through.
    pub proxies: Vec<String>,
    /// Whether https may lead to http.
    pub downgrade: bool,
    /// Below which files may be read; without any, no file URL is asked for at all.
    pub folders: Vec<Folder>,
}

/// A folder below which files may be read.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// As references may spell it: as it was given, and as it is.
    pub spellings: Vec<PathBuf>,
    /// Without a link in it.
    pub real: PathBuf,
}

impl Grants {
    pub fn names(&self, url: &Url) -> bool {
        host_name(url).is_some_and(|host| self.hosts.contains(&host))
    }
}

/// Decides on a URL before anything is sent. `zone` is that of the document or redirect that named it, `None` if the
/// caller did.
///
/// Names whose address is not known yet pass here and are judged again by the connect hook; files are judged again when it
/// is known where their links lead, by [`judge_file`].
pub(crate) fn judge(
    url: &Url,
    zone: Option<Zone>,
    purpose: Purpose,
    grants: &Grants,
) -> Result<(), PolicyRule> {
    // No purpose is allowed more than another today; the parameter keeps it decidable in one place.
    let (Purpose::Media | Purpose::Playlist | Purpose::Key) = purpose;
    if url.scheme() == "file" && !grants.folders.is_empty() {
        return judge_file_url(url, zone, grants);
    }
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(PolicyRule::Scheme);
    }
    let Some(zone) = zone else { return Ok(()) };
    if zone.secure && url.scheme() == "http" && !grants.downgrade {
        return Err(PolicyRule::Downgrade);
    }
    if grants.names(url) {
        return Ok(());
    }
    let known = known_class(url);
    let is_proxy = host_name(url).is_some_and(|host| grants.proxies.contains(&host));
    if is_proxy || known.is_some_and(|class| class < zone.floor()) {
        return Err(PolicyRule::Address);
    }
    Ok(())
}

/// The same for a file, where any may be read. Nothing is looked up on the disk. The caller's own file may be anywhere on this
/// machine.
fn judge_file_url(url: &Url, zone: Option<Zone>, grants: &Grants) -> Result<(), PolicyRule> {
    if zone.is_some_and(|zone| !zone.local) {
        return Err(PolicyRule::Scheme);
    }
    if url.host().is_some() {
        return Err(PolicyRule::Machine);
    }
    if zone.is_none() {
        return Ok(());
    }
    let path = file_path::of(url)?;
    let mut spellings = grants.folders.iter().flat_map(|folder| &folder.spellings);
    match spellings.any(|folder| path.starts_with(folder)) {
        true => Ok(()),
        false => Err(PolicyRule::Folder),
    }
}

/// Decides on the file that a path in fact leads to, and yields the zone of what is in it. `real` has no link in it.
///
/// The caller's own file may be anywhere.
pub(crate) fn judge_file(
    real: &Path,
    zone: Option<Zone>,
    grants: &Grants,
) -> Result<Zone, PolicyRule> {
    let below = |folder: &Folder| real.starts_with(&folder.real);
    match zone.is_none() || grants.folders.iter().any(below) {
        true => Ok(Zone::local()),
        false => Err(PolicyRule::Folder),
    }
}

/// Decides on the peer a connection in fact reached, and yields the zone of what it sends. `class` is that of the peer,
/// `None` if it is hidden behind a proxy.
///
/// The caller's own URL sets the floor for everything it leads to; where that is a file, each server it names does.
pub(crate) fn judge_peer(
    url: &Url,
    zone: Option<Zone>,
    class: Option<AddressClass>,
    grants: &Grants,
) -> Result<Zone, PolicyRule> {
    let Some(zone) = zone else {
        return Ok(Zone::new(class.unwrap_or(AddressClass::Public), url));
    };
    if class.is_some_and(|class| class < zone.floor()) && !grants.names(url) {
        return Err(PolicyRule::Address);
    }
    if zone.local {
        // A server that a file names is as far away as it is, and leads no closer.
        return Ok(Zone::new(class.unwrap_or(AddressClass::Public), url));
    }
    Ok(Zone::new(zone.floor(), url))
}

/// The class of the host where the URL alone tells it.
pub(crate) fn known_class(url: &Url) -> Option<AddressClass> {
    match url.host()? {
        Host::Ipv4(address) => Some(AddressClass::of(IpAddr::V4(address))),
        Host::Ipv6(address) => Some(AddressClass::of(IpAddr::V6(address))),
        Host::Domain(_) => match host_name(url)?.as_str() {
            // RFC 6761 §6.3: never a name of the public tree.
            name if name == "localhost" || name.ends_with(".localhost") => {
                Some(AddressClass::Local)
            }
            "metadata.google.internal" | "metadata.goog" => Some(AddressClass::Metadata),
            _ => None,
        },
    }
}

/// The host in the one form that comparisons use: lower case, without a trailing dot or brackets.
pub(crate) fn host_name(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => normal_name(name),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    })
}

/// A name as [`host_name`] writes it.
pub(crate) fn normal_name(name: &str) -> String {
    name.trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_ascii_lowercase()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "policy_local_tests.rs"]
mod local_tests;
