//! The one door to the network.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::NetError;
use crate::request::Request;
use crate::response::Response;

/// Something that answers requests: the real client, a layer around another, or a fake in a test.
#[async_trait]
pub trait Net: Send + Sync + 'static {
    /// Sends the request and waits for the response headers. Dropping the future gives the request up.
    ///
    /// A response that comes back is one of success for this request: any other is an error.
    async fn fetch(&self, request: Request) -> Result<Response, NetError>;
}

#[async_trait]
impl<N: Net + ?Sized> Net for Arc<N> {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        (**self).fetch(request).await
    }
}

#[async_trait]
impl<N: Net + ?Sized> Net for Box<N> {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        (**self).fetch(request).await
    }
}
