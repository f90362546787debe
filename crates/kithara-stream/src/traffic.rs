//! Who moves bytes in this process, so that what nobody waits for can stand aside.

use std::sync::LazyLock;

use tokio::sync::watch;

/// What all streams of the process are doing. One place, because they share the link; each changes only its own counts,
/// and who waits is woken by the change.
static LOAD: LazyLock<watch::Sender<Load>> = LazyLock::new(|| watch::Sender::new(Load::default()));

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    /// Foreground transfers that are asking or reading; not those that pause.
    moving: usize,
    /// Readers who wait for bytes that somebody else's transfer brings: one in the background, for all they know.
    starving: usize,
}

impl Load {
    /// Whether background transfers may move.
    fn is_quiet(self) -> bool {
        self.moving == 0 || self.starving > 0
    }

    fn count(&mut self, what: What) -> &mut usize {
        match what {
            What::Moving => &mut self.moving,
            What::Starving => &mut self.starving,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum What {
    Moving,
    Starving,
}

/// Counts as long as it exists.
#[derive(Debug)]
pub(crate) struct Counted(What);

impl Counted {
    fn new(what: What) -> Self {
        LOAD.send_modify(|load| *load.count(what) += 1);
        Self(what)
    }

    /// A foreground transfer that moves.
    pub(crate) fn moving() -> Self {
        Self::new(What::Moving)
    }

    /// A reader who waits for what somebody else brings.
    pub(crate) fn starving() -> Self {
        Self::new(What::Starving)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LOAD.send_modify(|load| *load.count(self.0) -= 1);
    }
}

/// Waits until background transfers may move.
pub(crate) async fn quiet() {
    wait_for(true).await;
}

/// Waits until they have to stand aside.
pub(crate) async fn busy() {
    wait_for(false).await;
}

async fn wait_for(quiet: bool) {
    // The sender is never dropped.
    let _ = LOAD
        .subscribe()
        .wait_for(|load| load.is_quiet() == quiet)
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_moves_while_nothing_else_does_or_somebody_needs_it() {
        for (moving, starving, quiet) in [
            (0, 0, true),
            (1, 0, false),
            (3, 0, false),
            (1, 1, true),
            (0, 2, true),
        ] {
            let load = Load { moving, starving };
            assert_eq!(load.is_quiet(), quiet, "{load:?}");
        }
    }
}
