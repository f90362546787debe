//! A document on its way into memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use kithara_net::{Net, RedactedUrl, Request, ResponseHead};

use crate::traffic::Moving;
use crate::{FetchId, Load, StreamError};

/// What came of loading a document.
pub(crate) type Loaded = Result<(ResponseHead, Bytes), StreamError>;

/// The driver's hold on a document that is being loaded. Dropping it drops the connection.
pub(crate) struct Loading {
    pub(crate) id: FetchId,
    pending: Pin<Box<dyn Future<Output = Loaded> + Send>>,
}

impl Loading {
    pub(crate) fn start(load: &Load, request: Request, net: Arc<dyn Net>) -> Self {
        let name = RedactedUrl::new(&load.url).to_string();
        Self {
            id: load.id,
            pending: Box::pin(whole(net, request, name, load.most)),
        }
    }

    /// Takes what has come of it; afterwards it must be dropped.
    pub(crate) fn poll_loaded(&mut self, cx: &mut Context<'_>) -> Poll<Loaded> {
        self.pending.as_mut().poll(cx)
    }
}

/// Reads a body to its end, and no further than `most` bytes.
async fn whole(net: Arc<dyn Net>, request: Request, name: String, most: usize) -> Loaded {
    // Somebody waits for it: no run begins without.
    let _moving = Moving::new();
    let failed = |error| StreamError::Net(Arc::new(error));
    let too_large = || StreamError::TooLarge {
        name: name.clone(),
        most,
    };
    let mut response = net.fetch(request).await.map_err(failed)?;
    let head = response.head;
    let announced = head.end.map(|end| end.saturating_sub(head.start));
    if announced.is_some_and(|len| len > most as u64) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.body.chunk().await.map_err(failed)? {
        if chunk.len() > most - bytes.len() {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((head, bytes.freeze()))
}
