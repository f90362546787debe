//! What was learnt about the URLs that callers use: where they lead, and whether they worked.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use crate::options::Refreshed;
use crate::policy::Zone;
use crate::redact::RedactedUrl;

/// URLs remembered.
const CAPACITY: usize = 64;
/// A target is asked for again at its source after this long: a redirect may lead elsewhere by then.
const MAX_AGE: Duration = Duration::from_secs(600);
/// A target that refuses is looked up again at most this often.
const RERESOLVE_EVERY: Duration = Duration::from_secs(10);
/// A hook that knew nothing better is not asked about the same URL again before this.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// Where the redirects of a URL ended.
#[derive(Clone)]
pub(crate) struct Target {
    pub url: Url,
    pub zone: Zone,
    /// Whether another origin lay on the way, so that the caller's headers don't go there.
    pub crossed: bool,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target")
            .field(&RedactedUrl::new(&self.url))
            .finish()
    }
}

/// What is known of one URL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    /// What the caller's hook put in its place.
    pub source: Option<Refreshed>,
    /// Where it leads, if elsewhere.
    pub target: Option<Target>,
    /// Whether it has ever answered.
    pub worked: bool,
}

#[derive(Debug)]
struct Entry {
    url: Url,
    route: Route,
    learnt: Instant,
    reresolved: Option<Instant>,
    unrenewed: Option<Instant>,
}

/// A bounded memory of routes, least recently used first. Time comes in from outside.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    entries: Vec<Entry>,
}

impl Routes {
    /// What is known of `url`.
    pub fn find(&mut self, url: &Url, now: Instant) -> Route {
        let Some(at) = self.entries.iter().position(|entry| entry.url == *url) else {
            return Route::default();
        };
        let mut entry = self.entries.remove(at);
        if now.saturating_duration_since(entry.learnt) >= MAX_AGE {
            entry.route.target = None;
        }
        let route = entry.route.clone();
        self.entries.push(entry);
        route
    }

    /// `url` answered by this route.
    pub fn learn(&mut self, url: &Url, route: Route, now: Instant) {
        let entry = self.entry(url, now);
        if entry.route.target.as_ref().map(|target| &target.url)
            != route.target.as_ref().map(|target| &target.url)
        {
            entry.learnt = now;
        }
        entry.route = route;
    }

    /// The remembered target of `url` refused: whether to look it up again.
    pub fn may_reresolve(&mut self, url: &Url, now: Instant) -> bool {
        let entry = self.entry(url, now);
        let lately = entry
            .reresolved
            .is_some_and(|last| now.saturating_duration_since(last) < RERESOLVE_EVERY);
        if !lately {
            entry.reresolved = Some(now);
            entry.route.target = None;
        }
        !lately
    }

    /// Access to `url` was refused: whether the hook is worth asking.
    pub fn may_renew(&self, url: &Url, now: Instant) -> bool {
        let known = self.entries.iter().find(|entry| entry.url == *url);
        let lately = known.and_then(|entry| entry.unrenewed);
        lately.is_none_or(|last| now.saturating_duration_since(last) >= RENEW_EVERY)
    }

    /// The hook was asked about `url`, and that did not help.
    pub fn not_renewed(&mut self, url: &Url, now: Instant) {
        self.entry(url, now).unrenewed = Some(now);
    }

    /// Nothing came from the remembered target of `url`: the next request starts over.
    pub fn forget_target(&mut self, url: &Url) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.url == *url) {
            entry.route.target = None;
        }
    }

    fn entry(&mut self, url: &Url, now: Instant) -> &mut Entry {
        let at = match self.entries.iter().position(|entry| entry.url == *url) {
            Some(at) => at,
            None => {
                if self.entries.len() >= CAPACITY {
                    self.entries.remove(0);
                }
                self.entries.push(Entry {
                    url: url.clone(),
                    route: Route::default(),
                    learnt: now,
                    reresolved: None,
                    unrenewed: None,
                });
                self.entries.len() - 1
            }
        };
        &mut self.entries[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressClass;

    fn url(name: &str) -> Url {
        Url::parse(&format!("http://h.example/{name}")).unwrap()
    }

    fn route(to: &str) -> Route {
        let (url, crossed) = (url(to), false);
        let zone = Zone::new(AddressClass::Public, &url);
        Route {
            source: None,
            target: Some(Target { url, zone, crossed }),
            worked: true,
        }
    }

    fn target(routes: &mut Routes, name: &str, now: Instant) -> Option<Url> {
        routes.find(&url(name), now).target.map(|target| target.url)
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_is_forgotten_after_ten_minutes_or_one_refusal() {
        let now = Instant::now();
        let mut routes = Routes::default();
        routes.learn(&url("a"), route("x"), now);
        // Using it does not make it younger.
        routes.learn(&url("a"), route("x"), now + Duration::from_secs(500));
        assert_eq!(
            target(&mut routes, "a", now + Duration::from_secs(599)),
            Some(url("x"))
        );
        assert_eq!(
            target(&mut routes, "a", now + Duration::from_secs(600)),
            None
        );
        assert!(routes.find(&url("a"), now).worked);

        routes.learn(&url("b"), route("x"), now);
        assert!(routes.may_reresolve(&url("b"), now));
        assert_eq!(target(&mut routes, "b", now), None);
        routes.learn(&url("b"), route("y"), now);
        assert!(!routes.may_reresolve(&url("b"), now + Duration::from_millis(9_999)));
        assert_eq!(target(&mut routes, "b", now), Some(url("y")));
        assert!(routes.may_reresolve(&url("b"), now + RERESOLVE_EVERY));
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded_and_keeps_what_is_used() {
        let now = Instant::now();
        let mut routes = Routes::default();
        for number in 0..10_000 {
            routes.learn(&url(&number.to_string()), route("x"), now);
            routes.find(&url("0"), now);
        }
        assert_eq!(routes.entries.len(), CAPACITY);
        assert!(routes.find(&url("0"), now).worked);
        assert!(!routes.find(&url("5"), now).worked);
    }
}
