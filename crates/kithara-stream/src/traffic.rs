//! Who moves bytes in this process, so that what nobody waits for can stand aside.

use std::sync::LazyLock;

use tokio::sync::watch;

/// How many foreground transfers of the process are asking or reading; those that pause don't count. One place, because
/// they share the link; each changes only its own count, and who waits is woken by the change.
static MOVING: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// A foreground transfer that moves: counts as long as it exists.
#[derive(Debug)]
pub(crate) struct Moving(());

impl Moving {
    pub(crate) fn new() -> Self {
        MOVING.send_modify(|moving| *moving += 1);
        Self(())
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        MOVING.send_modify(|moving| *moving -= 1);
    }
}

/// Waits until background transfers may move.
pub(crate) async fn quiet() {
    // The sender is never dropped.
    let _ = MOVING.subscribe().wait_for(|moving| *moving == 0).await;
}

/// Waits until they have to stand aside.
pub(crate) async fn busy() {
    let _ = MOVING.subscribe().wait_for(|moving| *moving > 0).await;
}
