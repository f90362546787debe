//! What the caller says about HLS streams.

use std::path::PathBuf;

use kithara_abr::{AbrMode, AbrOptions};
use kithara_hls::{AudioPreference, GapPolicy, HlsConfig, HlsPolicy, KeyOptions};
use url::Url;

use crate::ResourceConfig;

/// What is to be done if the title is an HLS stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct HlsOptions {
    abr: AbrOptions,
    keys: KeyOptions,
    policy: HlsPolicy,
    audio: AudioPreference,
    base_url: Option<Url>,
    /// Below which a playlist on this machine may name files, beside its own folder.
    pub(crate) roots: Vec<PathBuf>,
}

impl HlsOptions {
    /// Puts them into a configuration, with what is said of all titles.
    pub(crate) fn apply(
        &self,
        config: HlsConfig,
        look_ahead_bytes: Option<u64>,
        ignore_no_store: bool,
    ) -> HlsConfig {
        let mut policy = self.policy;
        policy.look_ahead_bytes = look_ahead_bytes.unwrap_or(policy.look_ahead_bytes);
        policy.ignore_no_store |= ignore_no_store;
        config
            .with_policy(policy)
            .with_abr(self.abr.clone())
            .with_keys(self.keys.clone())
            .with_audio(self.audio.clone())
            .with_base_url(self.base_url.clone())
    }
}

/// HLS streams; without effect on files.
impl ResourceConfig {
    /// How variants are chosen: the numbers of the rule, and who chooses.
    ///
    /// ```
    /// # fn main() -> Result<(), kithara::Error> {
    /// use kithara::abr::{AbrMode, AbrOptions};
    /// use kithara::ResourceConfig;
    ///
    /// let mut abr = AbrOptions::default();
    /// abr.mode = AbrMode::Capped(128_000);
    /// let config = ResourceConfig::new("https://example.com/master.m3u8")?.with_abr(abr);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_abr(mut self, options: AbrOptions) -> Self {
        self.hls.abr = options;
        self
    }

    /// Who chooses variants from the beginning. Default: the rule. It can be [changed](crate::Control::set_abr_mode) while the
    /// title plays.
    #[must_use]
    pub fn with_abr_mode(mut self, mode: AbrMode) -> Self {
        self.hls.abr.mode = mode;
        self
    }

    /// How the keys of encrypted segments are had: headers and parameters for their servers, hooks of the caller's.
    #[must_use]
    pub fn with_keys(mut self, options: KeyOptions) -> Self {
        self.hls.keys = options;
        self
    }

    /// How far segments are fetched ahead, whether encrypted ones are kept, what stands for those that cannot be had. What
    /// [`with_look_ahead_bytes`](Self::with_look_ahead_bytes) says is in force whichever is said first.
    #[must_use]
    pub fn with_hls_policy(mut self, policy: HlsPolicy) -> Self {
        self.hls.policy = policy;
        self
    }

    /// What stands for segments that cannot be had. Default: silence where the playlist announces a gap and in live streams;
    /// otherwise the title stops in front of them, with an error that names the segment.
    #[must_use]
    pub fn with_gap_policy(mut self, policy: GapPolicy) -> Self {
        self.hls.policy.gap = Some(policy);
        self
    }

    /// Which audio rendition is played, where there are several. Default: the server's default, with two channels.
    #[must_use]
    pub fn with_audio_preference(mut self, audio: AudioPreference) -> Self {
        self.hls.audio = audio;
        self
    }

    /// Lets a playlist on this machine refer to files below this folder as well, however links lead there; may be called for
    /// several. Default: only to files below its own folder, and to `http` and `https` URLs. A folder that is not there grants
    /// nothing. Without effect on what comes over the network: that refers to no file in any case.
    ///
    /// ```
    /// # fn main() -> Result<(), kithara::Error> {
    /// use kithara::ResourceConfig;
    ///
    /// let config = ResourceConfig::new("/music/lists/summer.m3u8")?.with_local_root("/music");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_local_root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.hls.roots.push(folder.into());
        self
    }

    /// What references in the first playlist are relative to, in place of its own URL. If that is on this machine, they may lead
    /// to the same files as without.
    #[must_use]
    pub fn with_hls_base_url(mut self, url: Url) -> Self {
        self.hls.base_url = Some(url);
        self
    }
}
