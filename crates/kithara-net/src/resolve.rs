//! The connect hook: no address is connected to that the policy forbids.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::AddressClass;
use crate::classify::AddressRefused;
use crate::options::Resolver;
use crate::policy::normal_name;

/// The name resolution of the operating system.
pub(crate) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Lets through only addresses that are public enough. What is checked here is what is connected to: there is no
/// second look-up in which a name could change its mind.
pub(crate) struct Guarded {
    pub inner: Arc<dyn Resolver>,
    /// The lowest class allowed; `None` where the caller named the URL.
    pub floor: Option<AddressClass>,
    /// Names that may have any address: the proxies.
    pub exempt: Arc<[String]>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let inner = Arc::clone(&self.inner);
        let exempt = self.exempt.contains(&normal_name(name.as_str()));
        let floor = self.floor.filter(|_| !exempt);
        Box::pin(async move {
            let found = inner.resolve(name.as_str()).await?;
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| floor.is_none_or(|floor| AddressClass::of(*address) >= floor))
                // Port 0 stands for that of the URL.
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if allowed.is_empty() {
                return Err(AddressRefused.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
