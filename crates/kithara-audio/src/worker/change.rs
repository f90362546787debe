//! Another output while it plays: rate, channels or speed.
//!
//! Two seconds in the old layout wait in the lane, and nobody wants to hear them. So a new lane begins where the reader
//! stands, made of what is known already, and the reader crosses over once it holds more than that. Whatever the reader
//! has heard meanwhile it leaves out of the new lane, so that nothing is lost or heard twice.

use std::time::Duration;

use super::{Ending, Worker};
use crate::AudioEvent;
use crate::timeline::{Moment, Output};

/// How far a new lane reaches beyond the reader before it is offered, so that it does not run dry at once.
const AHEAD: Duration = Duration::from_millis(50);

impl Worker {
    /// Takes the newest wish for an output.
    pub(super) fn change_output(&mut self) {
        let output = self.shared.output.take(self.source);
        if output == self.conversion.output() {
            return;
        }
        self.change_to(output);
        self.chain.restart(output.spec);
        if !self.begun {
            // Nothing of this seek was heard yet.
            self.conversion.restart(output, Moment::default());
            let from = self.first_wanted(output);
            self.conversion.restart(output, from);
            self.history.rewind(Duration::ZERO, |_| 0);
            return;
        }
        let time = self.reachable(self.stands());
        let from = place_before(output, time);
        self.conversion.restart(output, from);
        let conversion = &self.conversion;
        let time = from.time(output.spec.sample_rate);
        self.history.rewind(time, |run| conversion.lead(run));
        self.ended = None;
        self.full = false;
        self.begin(from);
    }

    /// Notes that the output of the next lane may be another one than that of the last.
    pub(super) fn change_to(&mut self, output: Output) {
        if output != self.conversion.output() {
            self.change += 1;
            self.crossing = true;
        }
    }

    /// The place at a time.
    pub(super) fn place_of(&self, output: Output, time: Duration) -> Moment {
        Moment::at(output.spec.frames(time))
    }

    /// The first place that is wanted, after the open or a seek.
    pub(super) fn first_wanted(&self, output: Output) -> Moment {
        let target = self.place_of(output, self.origin.target);
        match &self.origin.landed {
            Some(landed) if !landed.exact => landed.run.map_or(target, |run| {
                self.conversion.first_right(&run, landed.frame)
            }),
            _ => target,
        }
    }

    /// Where the title ends, if nothing was delivered since the open or the seek.
    pub(super) fn end_place(&self) -> Moment {
        let wanted = self.first_wanted(self.conversion.output());
        if self.over == Some(Ending::Failed) {
            return wanted;
        }
        let landed = self.origin.landed.and_then(|landed| {
            let run = landed.run?;
            Some(self.conversion.end_of(&run, landed.frame))
        });
        self.conversion
            .end()
            .or(landed)
            .unwrap_or(wanted)
            .min(wanted)
    }

    /// Shows the reader the live lane, if it does not have it.
    pub(super) fn offer(&mut self) {
        if self.lanes.is_unoffered() {
            self.lanes.offer(&self.shared.exchange);
            self.shared.output.tell(self.change, self.lane_begin);
            if std::mem::take(&mut self.crossing) {
                self.tell_change();
            }
        }
        self.shared.flush();
    }

    /// Shows the reader a lane of another output once it reaches beyond where the reader stands, or holds no more.
    pub(super) fn offer_when_due(&mut self, full: bool) {
        let rate = self.conversion.output().spec.sample_rate;
        let reached = self.next.time(rate);
        if full || reached >= self.stands() + AHEAD {
            self.offer();
        }
    }

    /// Reports that another output begins.
    fn tell_change(&self) {
        let Output { spec, speed } = self.conversion.output();
        self.events.send(AudioEvent::OutputChanged {
            spec,
            speed: speed.factor(),
            from: self.lane_begin,
        });
    }

    /// Where the reader stands.
    fn stands(&self) -> Duration {
        self.shared.heard_position().unwrap_or(self.lane_begin)
    }

    /// The first time that can still be converted, if `time` cannot.
    fn reachable(&self, time: Duration) -> Duration {
        self.history.begin().map_or(time, |begin| begin.max(time))
    }
}

/// The last whole frame that is not after a time.
fn place_before(output: Output, time: Duration) -> Moment {
    let frames = time.as_nanos() * u128::from(output.spec.sample_rate.get()) / 1_000_000_000;
    Moment::at(u64::try_from(frames).unwrap_or(u64::MAX))
}
