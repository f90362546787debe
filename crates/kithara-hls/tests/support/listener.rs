//! The listener of the simulated world, who reads run after run at his own pace.

use kithara_stream::{Demand, Input, ResourceId, RunCause};

use super::{Heard, STEP, World};

impl World {
    /// The listener reads what he may.
    pub(super) fn read(&mut self) {
        self.allowance = if self.pace.is_finite() {
            (self.allowance + self.pace * STEP.as_secs_f64()).min(1.0)
        } else {
            f64::INFINITY
        };
        // Until something to read is found.
        self.waits = true;
        loop {
            let (run, part, at) = self.place;
            let Some(current) = self.runs.get(run) else {
                return;
            };
            let silence = current
                .facts
                .as_ref()
                .is_some_and(|facts| facts.silence.is_some());
            let newest = run + 1 == self.runs.len();
            let Some(resource) = current.parts.get(part).copied() else {
                if current.cut || current.closed || silence {
                    if newest {
                        return;
                    }
                    self.place = (run + 1, 0, 0);
                    continue;
                }
                // It waits at the end of the last part for the next.
                let last = current.parts.last().copied();
                let len = last.map(|last| self.resources[&self.bytes_of(last)].1.len());
                return self.block(last, len.unwrap_or(0) as u64);
            };
            let (path, bytes, end) = &self.resources[&self.bytes_of(resource)];
            let (have, over) = (bytes.len() as u64, end.is_some());
            if at < have || over {
                let leads_in = self.leads_in();
                let length = match leads_in {
                    true => 0.0,
                    false => (self.length)(path),
                };
                let total = end.unwrap_or(have.max(1)).max(1) as f64;
                let may = if length == 0.0 || self.allowance.is_infinite() {
                    have - at
                } else {
                    ((self.allowance / length * total) as u64).min(have - at)
                };
                self.allowance -= may as f64 / total * length;
                let at = at + may;
                self.place.2 = at;
                if over && at == have {
                    if !leads_in {
                        let path = path.clone();
                        self.heard.push(Heard { path, run });
                    }
                    self.place = (run, part + 1, 0);
                    self.pass(resource, at);
                    continue;
                }
                if at < have {
                    self.waits = false;
                    return self.pass(resource, at);
                }
            }
            return self.block(Some(resource), at);
        }
    }

    /// Whether the part that is read was heard already, and is there for a decoder to settle on: it takes no time.
    fn leads_in(&self) -> bool {
        let (run, part, _) = self.place;
        let Some(current) = self.runs.get(run) else {
            return false;
        };
        let path = |part: &ResourceId| &self.resources[&self.bytes_of(*part)].0;
        let before = current.parts[..part].iter();
        let is_first = before.map(path).all(|path| (self.length)(path) == 0.0);
        let cause = current.facts.as_ref().map(|facts| facts.cause);
        let goes_on = matches!(cause, Some(RunCause::VariantSwitch | RunCause::Again));
        let known = || {
            let path = path(&current.parts[part]);
            self.heard.iter().any(|heard| heard.path == *path)
        };
        goes_on && is_first && known()
    }

    fn pass(&mut self, resource: ResourceId, at: u64) {
        let (known, from, waits) = self.announced;
        if known == resource && at.abs_diff(from) < 32 * 1024 && !waits {
            return;
        }
        self.announced = (resource, at, false);
        let wanted = None;
        let position = at;
        self.hear(Input::Demand(Demand {
            resource,
            position,
            wanted,
        }));
    }

    fn block(&mut self, resource: Option<ResourceId>, at: u64) {
        self.waited += STEP;
        self.allowance = 0.0;
        let Some(resource) = resource else { return };
        if self.announced == (resource, at, true) {
            return;
        }
        self.announced = (resource, at, true);
        let (position, wanted) = (at, Some(at..at + 1));
        self.hear(Input::Demand(Demand {
            resource,
            position,
            wanted,
        }));
    }
}
