//! The HTTP client that all resources of a process share.

use std::sync::{Arc, OnceLock};

use kithara_net::{HttpClient, Net, NetError, NetExt, NetOptions, RetryPolicy};

/// Made by the first remote resource and kept, because its idle connections are what makes the next one start fast.
pub(crate) fn shared_client() -> Result<Arc<dyn Net>, NetError> {
    static SHARED: OnceLock<Arc<dyn Net>> = OnceLock::new();
    if let Some(client) = SHARED.get() {
        return Ok(Arc::clone(client));
    }
    let client = HttpClient::new(NetOptions::default())?.with_retry(RetryPolicy::default());
    Ok(Arc::clone(SHARED.get_or_init(|| Arc::new(client))))
}
