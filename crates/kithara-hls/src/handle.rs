//! A listener's hold on a stream: what there is to choose from, and the choice.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_abr::{AbrMode, VariantInfo};
use kithara_stream::{CommandReceiver, CommandSender, EventSink, commands};
use parking_lot::Mutex;

use crate::HlsEvent;

/// What a listener tells a running stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HlsCommand {
    /// Who chooses variants from now on.
    Mode(AbrMode),
}

/// What is known of the stream.
#[derive(Debug, Default)]
struct Known {
    variants: Vec<VariantInfo>,
    current: Option<usize>,
    live: bool,
    seekable: Option<Range<Duration>>,
}

/// A hold on a stream, from before it is opened until it ends. Cheap to clone.
///
/// Its calls take a short lock: they are not for an audio thread.
#[derive(Clone)]
pub struct HlsHandle {
    known: Arc<Mutex<Known>>,
    sender: CommandSender<HlsCommand>,
    receiver: Arc<Mutex<Option<CommandReceiver<HlsCommand>>>>,
}

impl Default for HlsHandle {
    fn default() -> Self {
        let (sender, receiver) = commands();
        Self {
            known: Arc::default(),
            sender,
            receiver: Arc::new(Mutex::new(Some(receiver))),
        }
    }
}

impl fmt::Debug for HlsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlsHandle")
            .field("known", &*self.known.lock())
            .finish()
    }
}

impl HlsHandle {
    /// What there is to choose from, in the playlist's order; empty until that is known.
    #[must_use]
    pub fn variants(&self) -> Vec<VariantInfo> {
        self.known.lock().variants.clone()
    }

    /// The variant that is fetched now.
    #[must_use]
    pub fn current_variant(&self) -> Option<usize> {
        self.known.lock().current
    }

    /// Says who chooses from now on. It shows with the next segment that is fetched.
    pub fn set_abr_mode(&self, mode: AbrMode) {
        self.sender.send(HlsCommand::Mode(mode));
    }

    /// Whether more may come than is listed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.known.lock().live
    }

    /// Where a listener may go; `None` until that is known.
    #[must_use]
    pub fn seekable_range(&self) -> Option<Range<Duration>> {
        self.known.lock().seekable.clone()
    }

    /// The commands, for the one stream that is opened with them; each later one has none.
    pub(crate) fn take_commands(&self) -> CommandReceiver<HlsCommand> {
        let first = self.receiver.lock().take();
        first.unwrap_or_else(|| commands().1)
    }

    /// Learns from what is reported.
    pub(crate) fn listen(&self, events: &EventSink<HlsEvent>) -> EventSink<HlsEvent> {
        let known = Arc::clone(&self.known);
        events.inspect(move |event| match event {
            HlsEvent::Variants { variants, .. } => known.lock().variants.clone_from(variants),
            HlsEvent::VariantChanged { to, .. } => known.lock().current = Some(*to),
            HlsEvent::Window { seekable, live } => {
                let mut known = known.lock();
                known.live = *live;
                known.seekable = Some(seekable.clone());
            }
            _ => {}
        })
    }
}
