//! The one I/O thread of a process: all transfers of all resources run on it.

use std::future::Future;
use std::sync::OnceLock;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::StreamError;

/// Runs a task on the library's own I/O thread, which is started by the first call and then kept, parked while there
/// is nothing to do.
///
/// It is never the caller's runtime: a blocking read inside somebody's current-thread runtime would otherwise wait
/// for a transfer that this very thread should drive.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), StreamError> {
    static THREAD: OnceLock<Result<Handle, String>> = OnceLock::new();
    match THREAD.get_or_init(start) {
        Ok(handle) => {
            handle.spawn(task);
            Ok(())
        }
        Err(why) => Err(StreamError::Worker {
            what: format!("the I/O thread could not be started: {why}"),
        }),
    }
}

/// Does something that may block on a thread of the library's own, whichever executor awaits it. It is done even if nobody
/// waits for it any more.
///
/// # Errors
/// [`StreamError::Worker`] if there is no such thread, or `work` panicked.
pub async fn unblock<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StreamError> {
    let (answer, done) = oneshot::channel();
    spawn(async move {
        if let Ok(result) = tokio::task::spawn_blocking(work).await {
            // Whoever asked may have been dropped meanwhile.
            let _ = answer.send(result);
        }
    })?;
    done.await.map_err(|_| StreamError::Worker {
        what: "a blocking thread is gone".into(),
    })
}

fn start() -> Result<Handle, String> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .thread_name("kithara-io-blocking")
        .build()
        .map_err(|error| error.to_string())?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("kithara-io".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(|error| error.to_string())?;
    Ok(handle)
}
