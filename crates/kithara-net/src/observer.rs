//! What a request reports while it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::NetError;
use crate::redact::RedactedUrl;
use crate::request::RangeSpec;

/// Something that happened to a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NetEvent {
    /// A request went out, the first one or another.
    RequestSent {
        /// To where.
        url: RedactedUrl,
        /// For which bytes.
        range: Option<RangeSpec>,
    },
    /// The server sent us elsewhere and we follow.
    Redirected {
        /// To where.
        to: RedactedUrl,
    },
    /// Something failed and will be tried again.
    Retrying {
        /// The how-manieth retry since the last progress, from 1.
        attempt: u32,
        /// How long from now.
        delay: Duration,
        /// What failed.
        error: Arc<NetError>,
    },
    /// A body that had died goes on.
    Resumed {
        /// From this byte of the resource.
        at: u64,
    },
}

/// Who hears [`NetEvent`]s. Called on the task that runs the request: it must not block. Cheap to clone; the default
/// hears nothing.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Hear>>);

type Hear = dyn Fn(&NetEvent) + Send + Sync;

impl Observer {
    /// Calls `hear` with each event.
    pub fn new(hear: impl Fn(&NetEvent) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    /// Reports one event.
    pub fn report(&self, event: &NetEvent) {
        if let Some(hear) = &self.0 {
            hear(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Observer(..)"
        } else {
            "Observer(nobody)"
        })
    }
}
