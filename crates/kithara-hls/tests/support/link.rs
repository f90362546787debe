//! The link of the simulated world: requests on their way to the origin, and what comes back, at its rate.

use std::sync::Arc;
use std::time::Duration;

use kithara_stream::net::{NetError, RedactedUrl, ResponseHead, TimeoutPhase, Url};
use kithara_stream::{
    Fetch, FetchId, Input, Load, ResourceId, StreamError, Transform, Transforming,
};

use super::{Answer, STEP, World};

pub(super) struct Carrier {
    pub(super) id: FetchId,
    pub(super) resource: Option<ResourceId>,
    pub(super) path: String,
    pub(super) url: Url,
    pub(super) credit: u64,
    pub(super) offset: u64,
    /// What is still to come, once the server has answered.
    pub(super) body: Option<(Vec<u8>, usize, Option<usize>)>,
    pub(super) headed: bool,
    pub(super) wake: Duration,
    pub(super) spent: u32,
    pub(super) until: u32,
    pub(super) by: Option<Arc<dyn Transform>>,
    pub(super) transform: Option<Box<dyn Transforming>>,
    pub(super) most: usize,
    pub(super) range: std::ops::Range<u64>,
    pub(super) shift: u64,
}

impl Carrier {
    /// Whether more of it may come.
    pub(super) fn is_under_way(&self) -> bool {
        self.credit > self.offset
    }

    fn ask_from_here(&mut self) {
        let from = self.offset;
        self.range.start = self.by.as_ref().map_or(from, |by| by.source_start(from));
        self.transform = self.by.as_ref().map(|by| by.begin(from));
    }
}

impl World {
    pub(super) fn carry(&mut self) {
        let moving = self
            .carriers
            .iter()
            .filter(|one| one.body.is_some())
            .count()
            .max(1);
        let mut budget = (self.rate)(self.now) * STEP.as_secs_f64() / moving as f64;
        budget = budget.max(0.0);
        for id in self.carriers.iter().map(|one| one.id).collect::<Vec<_>>() {
            self.carry_one(id, budget as usize);
        }
    }

    fn carry_one(&mut self, id: FetchId, budget: usize) {
        let Some(index) = self.carriers.iter().position(|one| one.id == id) else {
            return;
        };
        if self.carriers[index].wake > self.now {
            return;
        }
        if self.carriers[index].body.is_none() {
            return self.answer(index);
        }
        if !std::mem::replace(&mut self.carriers[index].headed, true)
            && self.carriers[index].resource.is_some()
        {
            let head = self.head(index);
            return self.hear(Input::Head { fetch: id, head });
        }
        let carrier = &mut self.carriers[index];
        let crawls = self.crawls.as_ref() == Some(&carrier.path);
        let budget = if crawls {
            self.now.as_millis().is_multiple_of(10_000).into()
        } else {
            budget
        };
        let room = carrier.credit.saturating_sub(carrier.offset);
        let (bytes, at, breaks) = carrier.body.as_mut().expect("an answer");
        let end = breaks.unwrap_or(bytes.len());
        let take = (end - *at).min(budget).min(room as usize);
        let piece = bytes[*at..*at + take].to_vec();
        *at += take;
        let (done, broken) = (*at == end, *at == end && breaks.is_some());
        let Some(resource) = carrier.resource else {
            if done && !broken {
                return self.loaded(index);
            }
            if broken {
                self.broke(index);
            }
            return;
        };
        let mut stored = Vec::new();
        let mut wrong = None;
        match &mut carrier.transform {
            None => stored = piece,
            Some(transform) if take > 0 => wrong = transform.update(&piece, &mut stored).err(),
            Some(_) => {}
        }
        if done
            && !broken
            && let Some(transform) = &mut carrier.transform
        {
            wrong = wrong.or(transform.finish(&mut stored).err());
        }
        let start = carrier.offset;
        carrier.offset += stored.len() as u64;
        let end = carrier.offset;
        let name = carrier.path.clone();
        let bytes = self.bytes_of(resource);
        let entry = self.resources.get_mut(&bytes).expect("it was begun");
        assert_eq!(
            entry.1.len() as u64,
            start,
            "{name}: bytes in order, each once"
        );
        entry.1.extend_from_slice(&stored);
        if end > start {
            self.hear(Input::Progress {
                fetch: id,
                stored: start..end,
            });
        }
        let Some(index) = self.carriers.iter().position(|one| one.id == id) else {
            return;
        };
        if let Some(what) = wrong {
            self.carriers.remove(index);
            let error = StreamError::Transform { name, what };
            return self.hear(Input::Failed { fetch: id, error });
        }
        if broken {
            self.broke(index);
        } else if done {
            self.carriers.remove(index);
            self.hear(Input::Done { fetch: id, end });
            self.tell_others(resource);
        }
    }

    /// The server answers a request.
    fn answer(&mut self, index: usize) {
        let path = self.carriers[index].path.clone();
        let count = self.asked.entry(path.clone()).or_default();
        *count += 1;
        let before = *count - 1;
        self.requests.push((path.clone(), self.now));
        let answer = (self.origin)(&path, before, self.now);
        let carrier = &mut self.carriers[index];
        let cut = |bytes: Vec<u8>| {
            let from = (carrier.shift + carrier.range.start).min(bytes.len() as u64) as usize;
            let to = carrier
                .shift
                .saturating_add(carrier.range.end)
                .min(bytes.len() as u64);
            bytes[from..to as usize].to_vec()
        };
        match answer {
            Answer::Bytes(bytes) => {
                let bytes = if carrier.resource.is_some() {
                    cut(bytes)
                } else {
                    bytes
                };
                carrier.body = Some((bytes, 0, None));
            }
            Answer::Broken(bytes, at) => {
                let bytes = cut(bytes);
                let at = at.min(bytes.len());
                carrier.body = Some((bytes, 0, Some(at)));
            }
            Answer::Status(status) => self.refused(index, |url| NetError::Http {
                url,
                status,
                retry_after: None,
            }),
            Answer::Silence => {
                carrier.wake = self.now + Duration::from_secs(10);
                self.refused(index, |url| NetError::Timeout {
                    url,
                    phase: TimeoutPhase::FirstByte,
                });
            }
        }
    }

    fn broke(&mut self, index: usize) {
        let (bytes, at, _) = self.carriers[index].body.take().expect("a body");
        self.carriers[index].headed = false;
        let (expected, got) = (bytes.len() as u64, at as u64);
        // What follows is asked for next.
        self.carriers[index].ask_from_here();
        self.refused(index, |url| NetError::Truncated { url, expected, got });
    }

    /// As the network layer does: again after a while if that may help, else a failure.
    fn refused(&mut self, index: usize, error: impl FnOnce(RedactedUrl) -> NetError) {
        let carrier = &mut self.carriers[index];
        let error = error(RedactedUrl::new(&carrier.url));
        carrier.spent += 1;
        let (id, attempt) = (carrier.id, carrier.spent);
        if error.is_retryable() && carrier.spent < carrier.until.min(7) {
            let delay = Duration::from_millis(250 << carrier.spent.min(5));
            carrier.wake = carrier.wake.max(self.now) + delay;
            let error = Arc::new(error);
            return self.hear(Input::Retrying {
                fetch: id,
                attempt,
                delay,
                error,
            });
        }
        let carrier = self.carriers.remove(index);
        let error = StreamError::Net(Arc::new(error));
        self.hear(Input::Failed { fetch: id, error });
        if let Some(resource) = carrier.resource {
            self.tell_others(resource);
        }
    }

    fn loaded(&mut self, index: usize) {
        let head = self.head(index);
        let carrier = self.carriers.remove(index);
        let (bytes, ..) = carrier.body.expect("an answer");
        let fetch = carrier.id;
        if bytes.len() > carrier.most {
            let (name, most) = (carrier.path, carrier.most);
            let error = StreamError::TooLarge { name, most };
            return self.hear(Input::Failed { fetch, error });
        }
        let bytes = bytes.into();
        self.hear(Input::Loaded { fetch, head, bytes });
    }

    fn head(&self, index: usize) -> ResponseHead {
        let carrier = &self.carriers[index];
        let len = carrier
            .body
            .as_ref()
            .map_or(0, |(bytes, ..)| bytes.len() as u64);
        let mut head = ResponseHead::whole(&carrier.url, len);
        if !self.tells_length {
            (head.end, head.total) = (None, None);
        }
        head
    }

    pub(super) fn load(&mut self, load: Load) {
        self.carriers.push(Carrier {
            id: load.id,
            resource: None,
            path: path_of(&load.url),
            url: load.url,
            credit: u64::MAX,
            offset: 0,
            body: None,
            headed: true,
            wake: self.now + self.latency,
            spent: load.attempts.spent,
            until: load.attempts.until,
            by: None,
            transform: None,
            most: load.most,
            range: 0..u64::MAX,
            shift: 0,
        });
    }

    pub(super) fn fetch(&mut self, fetch: Fetch) {
        let busy = self
            .carriers
            .iter()
            .any(|one| one.resource == Some(fetch.resource));
        assert!(!busy, "two transfers of one part: {fetch:?}");
        assert!(!fetch.range.is_empty(), "no bytes are asked for: {fetch:?}");
        let bytes = self.bytes_of(fetch.resource);
        let of_it = |one: &Carrier| one.resource.is_some_and(|own| self.bytes_of(own) == bytes);
        if self.carriers.iter().any(of_it) {
            self.inputs.push_back(Input::Taken { fetch: fetch.id });
            let input = self.stored(fetch.resource);
            return self.inputs.push_back(input);
        }
        let path = path_of(&fetch.url);
        let entry = self.resources.entry(bytes).or_default();
        entry.0.clone_from(&path);
        assert_eq!(
            entry.1.len() as u64,
            fetch.range.start,
            "{path}: from where it stopped"
        );
        let mut carrier = Carrier {
            id: fetch.id,
            resource: Some(fetch.resource),
            path,
            url: fetch.url,
            credit: fetch.credit,
            offset: fetch.range.start,
            body: None,
            headed: false,
            wake: self.now + self.latency,
            spent: fetch.attempts.spent,
            until: fetch.attempts.until,
            by: fetch.terms.transform,
            transform: None,
            most: usize::MAX,
            range: fetch.range,
            shift: fetch.terms.shift,
        };
        carrier.ask_from_here();
        self.carriers.push(carrier);
    }
}

fn path_of(url: &Url) -> String {
    url.path().trim_start_matches('/').to_owned()
}
