//! Time limits around any [`Net`].

use async_trait::async_trait;

use crate::error::{NetError, TimeoutPhase};
use crate::net::Net;
use crate::options::Timeouts;
use crate::request::Request;
use crate::response::Response;
use crate::stall::Timed;

/// A [`Net`] whose responses, and the bytes of whose bodies, must come in time.
///
/// [`HttpClient`](crate::HttpClient) keeps its own clocks; this is for others. The wait for the headers is bounded by
/// connect and first-byte limit together, since a [`Net`] does not say when it has connected.
#[derive(Clone, Debug)]
pub struct TimeoutNet<N> {
    inner: N,
    timeouts: Timeouts,
}

impl<N> TimeoutNet<N> {
    /// Bounds what `inner` does.
    pub fn new(inner: N, timeouts: Timeouts) -> Self {
        Self { inner, timeouts }
    }
}

#[async_trait]
impl<N: Net> Net for TimeoutNet<N> {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let url = request.redacted();
        let limit = self.timeouts.connect + self.timeouts.first_byte;
        let fetched = tokio::time::timeout(limit, self.inner.fetch(request)).await;
        let Response { head, body } = fetched.map_err(|_| NetError::Timeout {
            url: url.clone(),
            phase: TimeoutPhase::FirstByte,
        })??;
        let body = Timed::wrap(body, url, &self.timeouts);
        Ok(Response { head, body })
    }
}
