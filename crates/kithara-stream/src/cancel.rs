//! Ending from outside: an action taken when a caller's token is cancelled.

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{StreamError, io_thread};

/// Runs `act` on the I/O thread once `token` is cancelled, unless the returned guard is dropped before. `act` must not
/// block.
///
/// # Errors
/// [`StreamError::Worker`] if the I/O thread cannot be started.
pub fn when_cancelled(
    token: &CancellationToken,
    act: impl FnOnce() + Send + 'static,
) -> Result<DropGuard, StreamError> {
    let token = token.clone();
    let over = CancellationToken::new();
    let guard = over.clone().drop_guard();
    io_thread::spawn(async move {
        tokio::select! {
            biased;
            () = over.cancelled() => {}
            () = token.cancelled() => act(),
        }
    })?;
    Ok(guard)
}
