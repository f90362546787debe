//! The plan of a remote file, in arbitrary worlds and under arbitrary facts.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara::MediaInfo;
use kithara::file::{FileEvent, FilePlan, FilePolicy};
use kithara::net::{Etag, NetError, RangeSupport, RedactedUrl, ResponseHead, Url};
use kithara_stream::sim::{Link, Move, OriginFile, World, play};
use kithara_stream::{Coverage, Demand, FetchId, Input, Plan, ResourceId, StreamError, Wish};

use crate::script::Script;

/// Facts heard in one input.
const MOST_FACTS: usize = 400;
/// What a plan may want at once: it has at most five transfers, and a few things to say of each.
const MOST_WISHES: usize = 64;

/// The first byte chooses between a simulated world and raw facts.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let policy = FilePolicy {
        look_ahead_bytes: u64::from(script.byte()) << 16,
        whole: script.byte() & 1 == 1,
        ..FilePolicy::default()
    };
    let plan = FilePlan::new(url(), MediaInfo::default(), policy);
    if script.byte() & 1 == 0 {
        in_a_world(plan, &mut script);
    } else {
        under_facts(plan, &mut script);
    }
}

fn url() -> Url {
    Url::parse("http://origin.test/a.mp3").expect("a constant URL")
}

fn in_a_world(plan: FilePlan, script: &mut Script<'_>) {
    const MIB: u64 = 1024 * 1024;
    let len = script.number(8 * MIB);
    let request = |byte: u8| byte.checked_sub(200).filter(|at| *at > 0).map(usize::from);
    let world = World {
        seed: u64::from(script.byte()) + 1,
        link: Link {
            latency: Duration::from_millis(script.byte().into()),
            bytes_per_second: 40_000 + script.number(4 * MIB),
            losses_per_mib: f64::from(script.byte() % 8) / 2.0,
            stalls_per_mib: f64::from(script.byte() % 4),
            stall: Duration::from_millis(u64::from(script.byte()) * 20),
            outage: None,
        },
        origin: OriginFile {
            len,
            ranges: !script.byte().is_multiple_of(4),
            announces_length: !script.byte().is_multiple_of(4),
            changes_at_request: request(script.byte()),
            fails_from_request: request(script.byte()),
            ..OriginFile::polite(len)
        },
        disk_fails_at_write: request(script.byte()).map(|write| write as u64 * 7),
    };
    let mut moves = Vec::new();
    while !script.is_over() && moves.len() < 8 {
        moves.push(match script.byte() % 5 {
            0 => Move::Jump(script.number(len + 2)),
            1 => Move::Retry,
            2 => Move::Pause(Duration::from_millis(u64::from(script.byte()) * 200)),
            _ => Move::Read {
                bytes: script.number(2 * MIB),
                rate: if script.byte().is_multiple_of(2) {
                    u64::MAX
                } else {
                    64_000
                },
            },
        });
    }
    let outcome = play(plan, &world, &moves);
    assert_eq!(outcome.asked_again, 0, "a stored byte was asked for again");
    assert!(
        outcome.most_transfers <= 5,
        "{} transfers at once",
        outcome.most_transfers
    );
}

/// A driver that tells anything, in any order, about transfers that run and about some that don't.
struct Stage {
    plan: FilePlan,
    now: Duration,
    stored: Coverage,
    running: Vec<Running>,
    wishes: usize,
}

struct Running {
    id: FetchId,
    at: u64,
    end: u64,
    /// Bytes and their end follow the headers, never the other way round.
    headed: bool,
}

fn under_facts(plan: FilePlan, script: &mut Script<'_>) {
    let mut stage = Stage {
        plan,
        now: Duration::ZERO,
        stored: Coverage::default(),
        running: Vec::new(),
        wishes: 0,
    };
    stage.hear(Input::Tick);
    for _ in 0..MOST_FACTS {
        if script.is_over() {
            return;
        }
        stage.now += Duration::from_millis(script.number(40_000));
        let input = stage.fact(script);
        stage.hear(input);
    }
}

impl Stage {
    fn fact(&mut self, script: &mut Script<'_>) -> Input {
        let choice = script.byte() % 10;
        let chosen = usize::from(script.byte());
        let index = chosen % (self.running.len() + 1);
        let fetch = self
            .running
            .get(index)
            .map_or(FetchId(chosen as u64 + 1000), |one| one.id);
        let headed = self.running.get(index).is_some_and(|one| one.headed);
        match choice {
            0 | 1 => Input::Demand(demand(script)),
            2 => Input::Seek {
                to: Duration::from_secs(script.byte().into()),
            },
            3 | 4 => {
                let mut head = head(script);
                if let Some(one) = self.running.get_mut(index) {
                    if head.status == 206 {
                        // The network layer refuses a range beyond the one asked for.
                        head.end = head.end.map(|end| end.min(one.end).max(head.start));
                    }
                    (one.at, one.end, one.headed) =
                        (head.start, head.end.unwrap_or(u64::MAX), true);
                }
                Input::Head { fetch, head }
            }
            5 | 6 if headed => {
                let one = &mut self.running[index];
                let bytes = script.number(1 << 20).min(one.end.saturating_sub(one.at));
                let stored = one.at..one.at + bytes;
                one.at = stored.end;
                self.stored.insert(stored.clone());
                Input::Progress { fetch, stored }
            }
            7 if headed => {
                let end = self.running[index].at;
                self.running.retain(|one| one.id != fetch);
                Input::Done { fetch, end }
            }
            8 => {
                self.running.retain(|one| one.id != fetch);
                Input::Failed {
                    fetch,
                    error: failure(script),
                }
            }
            9 => Input::Retrying {
                fetch,
                attempt: script.byte().into(),
                delay: Duration::from_millis(script.number(1 << 20)),
                error: Arc::new(NetError::BodyFailed),
            },
            _ => Input::Tick,
        }
    }

    fn hear(&mut self, input: Input) {
        self.plan.handle(self.now, input);
        self.wishes = 0;
        while let Some(wish) = self.plan.poll() {
            self.wishes += 1;
            assert!(self.wishes <= MOST_WISHES, "a flood of wishes");
            self.perform(wish);
        }
        let _ = self.plan.deadline();
    }

    fn perform(&mut self, wish: Wish<FileEvent>) {
        let is_running = |id| self.running.iter().any(|one| one.id == id);
        match wish {
            Wish::Fetch(fetch) => {
                let Range { start, end } = fetch.range;
                assert!(start < end, "nothing is asked for");
                assert!(!is_running(fetch.id), "a name is used twice");
                if end != u64::MAX {
                    assert!(
                        self.is_free(start..end),
                        "stored bytes are asked for: {start}..{end}"
                    );
                }
                let id = fetch.id;
                let headed = false;
                self.running.push(Running {
                    id,
                    at: start,
                    end,
                    headed,
                });
            }
            Wish::Credit { fetch, .. } => assert!(is_running(fetch), "credit for what is over"),
            Wish::Abort(fetch) => {
                assert!(is_running(fetch), "an abort of what is over");
                self.running.retain(|one| one.id != fetch);
            }
            Wish::Complete { len, .. } => {
                assert!(self.stored.is_complete(len), "complete with gaps")
            }
            Wish::Fail(_) => self.running.clear(),
            _ => {}
        }
    }

    fn is_free(&self, range: Range<u64>) -> bool {
        self.stored.next_gap(range.start, range.end) == Some(range)
    }
}

fn demand(script: &mut Script<'_>) -> Demand {
    let position = script.number(u64::MAX);
    let blocked = script.byte() & 1 == 1;
    Demand {
        resource: ResourceId(0),
        position,
        wanted: blocked.then(|| position..position.saturating_add(1 + script.number(1 << 16))),
    }
}

/// What the network layer lets through: a start before the end, and an end within the total.
fn head(script: &mut Script<'_>) -> ResponseHead {
    let start = script.number(u64::MAX / 2);
    let end = start + script.number(u64::MAX / 4);
    let total = end + script.number(1 << 22);
    let mut head = match script.byte() % 4 {
        0 => ResponseHead::whole(&url(), total),
        1 => ResponseHead::partial(&url(), start, end, None),
        _ => ResponseHead::partial(&url(), start, end, Some(total)),
    };
    let odd = script.byte();
    if odd & 1 != 0 {
        head.end = None;
    }
    if odd & 2 != 0 {
        head.total = None;
    }
    if odd & 4 != 0 {
        head.ranges = RangeSupport::No;
    }
    head.length_proof = odd & 8 == 0;
    if odd & 0x30 != 0 {
        head.validators.etag = Etag::parse(if odd & 0x10 == 0 { "\"a\"" } else { "\"b\"" });
    }
    head
}

fn failure(script: &mut Script<'_>) -> StreamError {
    match script.byte() % 3 {
        0 => StreamError::Net(Arc::new(NetError::BodyFailed)),
        odd => StreamError::Net(Arc::new(NetError::RangeNotSatisfiable {
            url: RedactedUrl::new(&url()),
            total: (odd == 1).then(|| script.number(u64::MAX)),
        })),
    }
}
