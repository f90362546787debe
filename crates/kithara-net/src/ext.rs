//! What every [`Net`] can do besides fetching.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use url::Url;

use crate::error::NetError;
use crate::net::Net;
use crate::options::Timeouts;
use crate::request::Request;
use crate::response::ResponseHead;
use crate::resume::RetryNet;
use crate::retry::RetryPolicy;
use crate::timeout::TimeoutNet;

/// Conveniences on every [`Net`].
#[async_trait]
pub trait NetExt: Net {
    /// Retries what may succeed later, and goes on with bodies that die.
    fn with_retry(self, policy: RetryPolicy) -> RetryNet<Self>
    where
        Self: Sized,
    {
        RetryNet::new(self, policy)
    }

    /// Bounds the wait for responses and for their bytes.
    fn with_timeout(self, timeouts: Timeouts) -> TimeoutNet<Self>
    where
        Self: Sized,
    {
        TimeoutNet::new(self, timeouts)
    }

    /// Fetches a whole body of at most `limit` bytes into memory. Fails with [`NetError::TooLarge`] as soon as it is
    /// known to be larger: from its announced length, else when the first byte too many arrives.
    async fn get_bytes(&self, request: Request, limit: u64) -> Result<Bytes, NetError> {
        let url = request.redacted();
        let too_large = || NetError::TooLarge {
            url: url.clone(),
            limit,
        };
        let mut response = self.fetch(request).await?;
        let announced = response
            .head
            .end
            .map(|end| end.saturating_sub(response.head.start));
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.body.chunk().await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// Asks for the headers of `url`. Servers often answer this differently from a GET.
    async fn head(&self, url: Url) -> Result<ResponseHead, NetError> {
        Ok(self.fetch(Request::head(url)).await?.head)
    }
}

impl<N: Net + ?Sized> NetExt for N {}
