//! The runs of a title on their way to the decode thread, and what the newest of them goes on with.

use tokio::sync::mpsc;

use crate::feed::{FeedWriter, Part};
use crate::{ResourceId, Run, StreamError};

/// A run, or why none comes.
pub(crate) struct Told {
    /// How many seeks the plan had heard of.
    pub(crate) seeks: u64,
    pub(crate) what: Result<Option<Run>, StreamError>,
}

/// The driver's end of the runs.
pub(crate) struct Runs {
    sender: mpsc::UnboundedSender<Told>,
    /// Of the newest run, if it is one of many resources.
    feed: Option<FeedWriter>,
    published: u64,
    seeks: u64,
}

impl Runs {
    pub(crate) fn new(sender: mpsc::UnboundedSender<Told>) -> Self {
        Self {
            sender,
            feed: None,
            published: 0,
            seeks: 0,
        }
    }

    /// Hands out a run. The one before has its end, or is cut off here.
    pub(crate) fn publish(&mut self, run: Run, feed: Option<FeedWriter>) {
        if let Some(before) = std::mem::replace(&mut self.feed, feed) {
            before.supersede();
        }
        self.published += 1;
        self.tell(Ok(Some(run)));
    }

    /// The newest run goes on with this.
    pub(crate) fn extend(&self, part: Part) {
        let extended = self.feed.as_ref().is_some_and(|feed| feed.extend(part));
        if !extended {
            tracing::warn!(target: "kithara_stream", "there is no run to be extended");
        }
    }

    /// Nothing follows in the newest run.
    pub(crate) fn close(&self) {
        if let Some(feed) = &self.feed {
            feed.close();
        }
    }

    /// What should have followed in the newest run, from this resource on if it has that, will not come.
    pub(crate) fn cut_off(&self, from: Option<ResourceId>) {
        if let Some(feed) = &self.feed {
            feed.cut_off(from);
        }
    }

    /// No further run will come.
    pub(crate) fn end(&self) {
        self.tell(Ok(None));
    }

    /// Tells of a failure where it is met: behind all that is stored of the newest run (that a run of one resource is told
    /// by this itself), and behind that run.
    pub(crate) fn fail(&self, error: &StreamError) {
        if let Some(feed) = &self.feed {
            feed.fail(error);
        }
        self.tell(Err(error.clone()));
    }

    /// The listener has sought: a failure is over. Returns the number of the seek, which all that is told from now on has.
    pub(crate) fn sought(&mut self) -> u64 {
        if let Some(feed) = &self.feed {
            feed.reactivate();
        }
        self.seeks += 1;
        self.seeks
    }

    /// How many runs were handed out.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    fn tell(&self, what: Result<Option<Run>, StreamError>) {
        let seeks = self.seeks;
        // Few messages pass in a title's life; the channel is closed only when nobody wants runs any more.
        let _ = self.sender.send(Told { seeks, what });
    }
}
