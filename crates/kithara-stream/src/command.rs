//! The listener's word to a plan that runs: a channel made before it is started.

use tokio::sync::mpsc;

/// Tells a running plan what to change. Cheap to clone; telling never waits, and goes nowhere once the stream is over.
pub struct CommandSender<C>(mpsc::UnboundedSender<C>);

/// The other end, for [`Backend::start_with`](crate::Backend::start_with).
pub struct CommandReceiver<C>(pub(crate) mpsc::UnboundedReceiver<C>);

/// A channel for the commands of one plan.
#[must_use]
pub fn commands<C>() -> (CommandSender<C>, CommandReceiver<C>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (CommandSender(sender), CommandReceiver(receiver))
}

impl<C> CommandSender<C> {
    /// Tells the plan.
    pub fn send(&self, command: C) {
        // Nobody is there to hear it once the stream is over.
        let _ = self.0.send(command);
    }
}

impl<C> Clone for CommandSender<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> std::fmt::Debug for CommandSender<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CommandSender")
    }
}

impl<C> std::fmt::Debug for CommandReceiver<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CommandReceiver")
    }
}
