//! Runs of many resources on the real driver: joined byte for byte, ended, cut off, failed, interrupted, thrown away.

#[path = "support/origin.rs"]
mod origin;
#[path = "support/puppet.rs"]
mod puppet;

use std::io::{Read, Seek, SeekFrom};
use std::thread;
use std::time::Duration;

use kithara_stream::{
    Demand, FetchId, Input, MediaDuration, MediaInfo, Rejection, ResourceId, Run, RunCause,
    RunFacts, SeekRoute, Source, StreamError, Timing, Wish,
};
use puppet::*;

fn bytes_of(number: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (number as usize * 31 + at * 7) as u8)
        .collect()
}

/// A run of these resources, each `len` bytes, all brought.
fn run_of(stage: &mut Stage, numbers: &[u64], len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    stage.wish(vec![publish(), extend(numbers[0])]);
    for number in numbers {
        let bytes = bytes_of(*number, len);
        stage.origin.serve(*number, bytes.clone());
        if *number != numbers[0] {
            stage.wish(vec![extend(*number)]);
        }
        stage.bring(*number);
        all.extend(bytes);
    }
    all
}

/// The run ends in front of this resource.
fn cut_off(number: u64) -> Wish<Told> {
    Wish::CutOff {
        from: Some(ResourceId(number)),
    }
}

/// Where the plan was told that the reader is.
fn demand(stage: &mut Stage) -> Demand {
    stage.hear(|input| match input {
        Input::Demand(demand) => Some(demand),
        _ => None,
    })
}

/// Waits until the reader is blocked on this byte.
fn until_wanted(stage: &mut Stage, resource: u64, at: u64) {
    let wanted = Demand {
        resource: ResourceId(resource),
        position: at,
        wanted: Some(at..at + 1),
    };
    while demand(stage) != wanted {}
}

/// A thread that reads all there is.
fn reading(mut run: Run) -> thread::JoinHandle<(Vec<u8>, Option<StreamError>)> {
    thread::spawn(move || read_all(&mut run))
}

#[test]
fn parts_are_joined_byte_for_byte_however_they_come() {
    let mut stage = Stage::new();
    let mut all = Vec::new();
    for number in 0..20 {
        // Some have no bytes at all.
        let len = match number % 5 {
            3 => 0,
            _ => stage.origin.random(5000) as usize,
        };
        let bytes = bytes_of(number, len);
        stage.origin.serve(number, bytes.clone());
        all.extend(bytes);
    }
    stage.wish(vec![publish(), extend(0)]);
    let mut run = stage.run();
    assert_eq!(run.bytes.byte_len(), None);
    assert!(!run.bytes.is_seekable() && run.bytes.is_remote() && !run.bytes.keeps_index());
    let sizes: Vec<u64> = (0..50).map(|_| stage.origin.random(900)).collect();
    let reader = thread::spawn(move || {
        let mut read: Vec<u8> = Vec::new();
        for size in sizes.iter().cycle() {
            let mut buf = vec![0; *size as usize];
            match run.bytes.read(&mut buf).expect("nothing fails") {
                0 => break,
                count => read.extend(&buf[..count]),
            }
            let at = run.bytes.stream_position().expect("it stands somewhere");
            assert_eq!(at, read.len() as u64);
        }
        assert_eq!(run.bytes.read(&mut [0]).expect("it stays the end"), 0);
        read
    });
    stage.bring(0);
    for number in 1..20 {
        // Some are announced before they come, some after.
        if number % 2 == 0 {
            stage.wish(vec![extend(number)]);
            stage.bring(number);
        } else {
            stage.bring(number);
            stage.wish(vec![extend(number)]);
        }
    }
    stage.wish(vec![Wish::Close]);
    assert!(reader.join().unwrap() == all, "the bytes, in order");
}

#[test]
fn a_part_ends_where_nothing_proves_its_end_too() {
    let mut stage = Stage::new();
    for number in [0, 1] {
        stage.origin.serve(number, bytes_of(number, 1000));
    }
    stage.wish(vec![publish(), extend(0), extend(1), Wish::Close]);
    for number in [0, 1] {
        stage.wish(vec![Wish::Fetch(fetch(number))]);
        let len = stage.outcome(number).expect("it comes");
        stage.wish(vec![Wish::Length {
            resource: ResourceId(number),
            len,
            proven: false,
        }]);
    }
    let (read, why) = read_all(&mut stage.run());
    assert!(why.is_none(), "{why:?}");
    assert!(read == [bytes_of(0, 1000), bytes_of(1, 1000)].concat());
}

#[test]
fn it_is_read_in_order_only() {
    let mut stage = Stage::new();
    run_of(&mut stage, &[0, 1], 100);
    let mut run = stage.run();
    run.bytes.read_exact(&mut [0; 150]).unwrap();
    for stay in [SeekFrom::Current(0), SeekFrom::Start(150)] {
        assert_eq!(run.bytes.seek(stay).unwrap(), 150);
    }
    for go in [
        SeekFrom::Start(0),
        SeekFrom::Start(151),
        SeekFrom::Current(-1),
        SeekFrom::Current(1),
        SeekFrom::End(0),
    ] {
        let error = run.bytes.seek(go).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported, "{go:?}");
    }
}

#[test]
fn the_plan_hears_of_each_part_that_is_begun_and_of_waiting_for_the_next() {
    let mut stage = Stage::new();
    run_of(&mut stage, &[7, 8], 100);
    let mut run = stage.run();
    run.bytes.read_exact(&mut [0; 60]).unwrap();
    let first = demand(&mut stage);
    assert_eq!((first.resource, first.wanted), (ResourceId(7), None));
    run.bytes.read_exact(&mut [0; 40]).unwrap();
    run.bytes.read_exact(&mut [0; 1]).unwrap();
    // The end of the first part was not waited for: the second was there.
    let next = demand(&mut stage);
    assert_eq!((next.resource, next.wanted), (ResourceId(8), None));
    run.bytes.read_exact(&mut [0; 99]).unwrap();
    let reader = reading(run);
    until_wanted(&mut stage, 8, 100);
    stage.wish(vec![Wish::Close]);
    assert!(reader.join().unwrap().0.is_empty());
}

#[test]
fn what_is_cut_off_is_read_as_far_as_it_came_and_the_next_run_goes_on() {
    for close in [false, true] {
        let mut stage = Stage::new();
        let before = run_of(&mut stage, &[0], 100);
        let open = stage.origin.serve(1, bytes_of(1, 5000));
        open.send_replace(2000);
        stage.wish(vec![extend(1), Wish::Fetch(fetch(1))]);
        if close {
            stage.wish(vec![Wish::Close]);
        }
        let reader = reading(stage.run());
        let read_until = stage.hear(|input| match input {
            Input::Demand(Demand {
                resource: ResourceId(1),
                wanted: Some(wanted),
                ..
            }) if wanted.start > 0 => Some(wanted.start),
            _ => None,
        });
        stage.wish(vec![
            cut_off(1),
            Wish::Leave {
                resource: ResourceId(1),
            },
        ]);
        let (read, why) = reader.join().unwrap();
        assert!(matches!(why, Some(StreamError::CutOff)), "{why:?}");
        assert!(read.len() as u64 >= 100 + read_until);
        assert!(read.starts_with(&before));
        assert!(read[100..] == bytes_of(1, 5000)[..read.len() - 100]);
        run_of(&mut stage, &[2], 10);
        stage.wish(vec![Wish::Close]);
        assert_eq!(read_all(&mut stage.run()).0, bytes_of(2, 10));
    }
}

#[test]
fn a_reader_that_waits_for_the_next_part_is_cut_off_there() {
    for supersede in [false, true] {
        let mut stage = Stage::new();
        let all = run_of(&mut stage, &[0, 1], 100);
        let reader = reading(stage.run());
        until_wanted(&mut stage, 1, 100);
        // Another run in its place cuts it off just as well.
        stage.wish(match supersede {
            true => vec![publish(), extend(2)],
            false => vec![Wish::CutOff { from: None }],
        });
        let (read, why) = reader.join().unwrap();
        assert!(
            read == all && matches!(why, Some(StreamError::CutOff)),
            "{why:?}"
        );
    }
}

#[test]
fn parts_that_came_before_the_cut_are_read_to_their_end() {
    let mut stage = Stage::new();
    let all = run_of(&mut stage, &[0, 1, 2], 100);
    stage.wish(vec![Wish::CutOff { from: None }]);
    let (read, why) = read_all(&mut stage.run());
    assert!(
        read == all && matches!(why, Some(StreamError::CutOff)),
        "{why:?}"
    );
}

#[test]
fn a_reader_in_the_first_part_that_will_not_come_is_cut_off_there_whatever_follows() {
    let mut stage = Stage::new();
    // The reader waits in the first of several that go together.
    stage.wish(vec![publish(), extend(0), extend(1)]);
    let reader = reading(stage.run());
    until_wanted(&mut stage, 0, 0);
    stage.wish(vec![cut_off(0)]);
    let (read, why) = reader.join().unwrap();
    assert!(read.is_empty() && matches!(why, Some(StreamError::CutOff)));

    // He has passed it, and waits in the second.
    let all = run_of(&mut stage, &[2], 100);
    stage.wish(vec![extend(3), extend(4)]);
    let reader = reading(stage.run());
    until_wanted(&mut stage, 3, 0);
    stage.wish(vec![cut_off(2)]);
    let (read, why) = reader.join().unwrap();
    assert!(read == all && matches!(why, Some(StreamError::CutOff)));
}

#[test]
fn a_part_on_its_way_is_waited_for_though_what_follows_it_was_cut_off() {
    let mut stage = Stage::new();
    let open = stage.origin.serve(0, bytes_of(0, 1000));
    open.send_replace(0);
    stage.wish(vec![
        publish(),
        extend(0),
        extend(1),
        Wish::Fetch(fetch(0)),
        cut_off(1),
    ]);
    let reader = reading(stage.run());
    until_wanted(&mut stage, 0, 0);
    open.send_replace(u64::MAX);
    let len = stage.outcome(0).unwrap();
    let resource = ResourceId(0);
    stage.wish(vec![Wish::Complete { resource, len }]);
    let (read, why) = reader.join().unwrap();
    assert!(read == bytes_of(0, 1000));
    assert!(matches!(why, Some(StreamError::CutOff)), "{why:?}");
}

fn broken() -> StreamError {
    StreamError::Protocol(std::sync::Arc::new(std::fmt::Error))
}

#[test]
fn a_failure_is_met_behind_all_that_is_stored_and_lasts_until_a_seek() {
    // Whether or not anybody has asked for the next run meanwhile.
    for asked in [true, false] {
        let mut stage = Stage::new();
        let all = run_of(&mut stage, &[0, 1], 100);
        let mut run = stage.run();
        run.bytes.read_exact(&mut [0; 50]).unwrap();
        stage.wish(vec![Wish::Fail(broken())]);
        let (read, why) = read_all(&mut run);
        assert!(read == all[50..], "all that is stored");
        assert!(matches!(why, Some(StreamError::Protocol(_))), "{why:?}");
        for _ in 0..2 {
            let error = failure(&run.bytes.read(&mut [0]).unwrap_err());
            assert!(matches!(error, StreamError::Protocol(_)), "{error}");
            if asked {
                let next = stage.backend.next_run();
                assert!(matches!(next, Err(StreamError::Protocol(_))), "{next:?}");
            }
        }
        // A seek that this run serves: it goes on, and so does what follows it.
        let route = stage.backend.seek(Duration::ZERO).unwrap();
        assert_eq!(route, SeekRoute::WithinRun);
        stage.origin.serve(2, bytes_of(2, 100));
        stage.bring(2);
        stage.wish(vec![extend(2), Wish::Close, Wish::End]);
        let (read, why) = read_all(&mut run);
        assert!(read == bytes_of(2, 100) && why.is_none(), "{why:?}");
        assert!(stage.backend.next_run().unwrap().is_none());
    }
}

#[test]
fn a_failure_behind_a_run_that_has_its_end_is_told_instead_of_the_next() {
    let silence = Wish::Publish(RunFacts {
        silence: Some(Duration::from_secs(1)),
        ..RunFacts::whole(ResourceId(9), MediaInfo::default(), None, false)
    });
    for last in [
        vec![Wish::Close],
        vec![Wish::CutOff { from: None }],
        vec![Wish::Close, silence],
    ] {
        let mut stage = Stage::new();
        let all = run_of(&mut stage, &[0], 100);
        let runs = if last.len() > 1 { 2 } else { 1 };
        stage.wish(last);
        stage.wish(vec![Wish::Fail(broken())]);
        assert_eq!(read_all(&mut stage.run()).0, all);
        for _ in 1..runs {
            assert!(read_all(&mut stage.run()).1.is_none());
        }
        let next = stage.backend.next_run();
        assert!(matches!(next, Err(StreamError::Protocol(_))), "{next:?}");
        stage.wish_when_asked(vec![publish(), extend(1)]);
        assert_eq!(
            stage.backend.seek(Duration::ZERO).unwrap(),
            SeekRoute::NewRun
        );
        stage.run();
    }
}

#[test]
fn an_interrupt_ends_the_wait_for_the_next_part_and_it_can_go_on_later() {
    let mut stage = Stage::new();
    let all = run_of(&mut stage, &[0], 100);
    let mut run = stage.run();
    run.bytes.read_exact(&mut vec![0; all.len()]).unwrap();
    let interrupt = stage.backend.interrupt();
    let reader = thread::spawn(move || (read_all(&mut run).1, run));
    until_wanted(&mut stage, 0, 100);
    interrupt.raise();
    let (why, mut run) = reader.join().unwrap();
    assert!(matches!(why, Some(StreamError::Interrupted)), "{why:?}");
    let error = failure(&run.bytes.read(&mut [0]).unwrap_err());
    assert!(matches!(error, StreamError::Interrupted), "{error}");
    interrupt.clear();
    stage.origin.serve(1, bytes_of(1, 100));
    stage.wish(vec![extend(1), Wish::Close]);
    stage.bring(1);
    assert_eq!(read_all(&mut run).0, bytes_of(1, 100));
}

#[test]
fn a_byte_can_be_refused_in_any_part() {
    let mut stage = Stage::new();
    run_of(&mut stage, &[0], 100);
    stage.wish(vec![extend(1)]);
    let refuse = |number, error| Wish::Refuse {
        resource: ResourceId(number),
        offset: 0,
        error,
    };
    let reader = reading(stage.run());
    until_wanted(&mut stage, 1, 0);
    // That of another resource is not the one that is waited for. A transfer's whole life gives the reader every
    // opportunity to take it for his.
    stage.wish(vec![refuse(0, StreamError::Closed)]);
    stage.origin.serve(5, bytes_of(5, 5000));
    stage.bring(5);
    stage.wish(vec![refuse(1, broken())]);
    let (read, why) = reader.join().unwrap();
    assert_eq!(read, bytes_of(0, 100));
    assert!(matches!(why, Some(StreamError::Protocol(_))), "{why:?}");
}

#[test]
fn a_seek_throws_away_what_was_told_before() {
    let mut stage = Stage::new();
    run_of(&mut stage, &[0], 100);
    stage.wish(vec![Wish::Close]);
    drop(stage.run());
    // A run in the queue whose bytes never come, and an end.
    stage.wish(vec![publish(), extend(1), Wish::Close, Wish::End]);
    run_of(&mut stage, &[2], 10);
    for (number, ended) in [(3, false), (4, true)] {
        if ended {
            stage.wish(vec![Wish::Close, Wish::End]);
            assert!(stage.backend.next_run().unwrap().is_none());
            assert!(stage.backend.next_run().unwrap().is_none(), "it stays so");
        }
        let facts = RunFacts {
            cause: RunCause::Seek,
            extends: true,
            ..RunFacts::whole(ResourceId(number), MediaInfo::default(), None, false)
        };
        stage.wish_when_asked(vec![Wish::Publish(facts), extend(number)]);
        let route = stage.backend.seek(Duration::from_secs(1)).unwrap();
        assert_eq!(route, SeekRoute::NewRun);
        let run = stage.run();
        assert_eq!(run.cause, RunCause::Seek);
        stage.origin.serve(number, bytes_of(number, 50));
        stage.bring(number);
        stage.wish(vec![Wish::Close]);
        assert_eq!(reading(run).join().unwrap().0, bytes_of(number, 50));
    }
}

#[test]
fn a_rejection_is_taken_up_by_who_throws_the_part_away_and_by_nobody_else() {
    let mut stage = Stage::new();
    run_of(&mut stage, &[0], 100);
    drop(stage.run());
    let part = ResourceId(0);
    let why = || Rejection::Damaged {
        what: "noise".into(),
    };
    // A plan may have other things to say and to do just then.
    let other = ResourceId(7);
    for wishes in [vec![], vec![Wish::Discard { resource: other }]] {
        stage.wish_when_asked(wishes);
        assert!(!stage.backend.reject(part, why()).unwrap());
    }
    let again = vec![
        Wish::Discard { resource: part },
        cut_off(0),
        publish(),
        extend(1),
        Wish::Close,
    ];
    stage.wish_when_asked(again);
    assert!(stage.backend.reject(part, why()).unwrap());
    let run = stage.run();
    stage.origin.serve(1, bytes_of(1, 50));
    stage.bring(1);
    assert_eq!(reading(run).join().unwrap().0, bytes_of(1, 50));
}

#[test]
fn a_part_that_was_let_go_of_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = origin::store(dir.path());
    let mut stage = Stage::with_store(Some(store.clone()));
    for number in [0, 1, 2] {
        let key = store.key(&url(number), &url(number));
        let resource = ResourceId(number);
        stage.wish(vec![Wish::Open { resource, key }]);
        stage.hear(|input| matches!(input, Input::Stored { .. }).then_some(()));
    }
    let all = run_of(&mut stage, &[0, 1, 2], 70_000);
    stage.wish(vec![Wish::Close]);
    let mut run = stage.run();
    let mut read = vec![0; 1000];
    run.bytes.read_exact(&mut read).unwrap();
    let leave = |number| Wish::Leave {
        resource: ResourceId(number),
    };
    stage.wish(vec![leave(0), leave(1), leave(2)]);
    store.settle();
    let (rest, why) = read_all(&mut run);
    assert!(why.is_none(), "{why:?}");
    assert!([read, rest].concat() == all);
}

#[test]
fn letting_go_of_a_resource_ends_its_transfer() {
    let mut stage = Stage::new();
    let open = stage.origin.serve(0, bytes_of(0, 1000));
    open.send_replace(0);
    stage.wish(vec![Wish::Fetch(fetch(0))]);
    stage.hear(|input| matches!(input, Input::Head { .. }).then_some(()));
    stage.wish(vec![Wish::Leave {
        resource: ResourceId(0),
    }]);
    open.send_replace(u64::MAX);
    // A later transfer's whole life gives the earlier one every opportunity.
    stage.origin.serve(1, bytes_of(1, 1000));
    stage.wish(vec![Wish::Fetch(fetch(1))]);
    let others = stage.hear(|input| match input {
        Input::Done { fetch, .. } => Some(fetch),
        Input::Progress { fetch, .. } | Input::Failed { fetch, .. } if fetch == FetchId(0) => {
            Some(fetch)
        }
        _ => None,
    });
    assert_eq!(others, FetchId(1));
}

#[test]
fn a_run_of_silence_has_no_bytes_and_each_run_has_its_facts() {
    let mut stage = Stage::new();
    let title = Some(MediaDuration::Exact(Duration::from_secs(60)));
    let facts = RunFacts {
        start: Duration::from_secs(3),
        cause: RunCause::Gap,
        timing: Timing::Stamped { clock: 4 },
        title,
        silence: Some(Duration::from_secs(5)),
        ..RunFacts::whole(ResourceId(0), MediaInfo::default(), None, false)
    };
    stage.wish(vec![Wish::Publish(facts), Wish::End]);
    let mut run = stage.run();
    assert_eq!(run.start, Duration::from_secs(3));
    assert_eq!(run.cause, RunCause::Gap);
    assert_eq!(run.timing, Timing::Stamped { clock: 4 });
    assert_eq!(run.silence, Some(Duration::from_secs(5)));
    assert!(matches!(run.title, Some(MediaDuration::Exact(len)) if len.as_secs() == 60));
    assert_eq!(read_all(&mut run).0, []);
    assert!(stage.backend.next_run().unwrap().is_none());
}

#[test]
fn a_stream_that_is_dropped_lets_a_waiting_reader_go() {
    let mut stage = Stage::new();
    run_of(&mut stage, &[0], 100);
    let reader = reading(stage.run());
    until_wanted(&mut stage, 0, 100);
    drop(stage);
    let why = reader.join().unwrap().1;
    assert!(matches!(why, Some(StreamError::Cancelled)), "{why:?}");
}

#[test]
fn a_run_is_there_before_its_first_part_and_can_do_without() {
    let mut stage = Stage::new();
    stage.wish(vec![publish()]);
    let reader = reading(stage.run());
    run_of(&mut stage, &[3, 4], 10);
    stage.wish(vec![Wish::Close]);
    let (read, why) = reader.join().unwrap();
    assert!(
        read.is_empty() && matches!(why, Some(StreamError::CutOff)),
        "{why:?}"
    );
    stage.run();
    for (end, cut) in [(Wish::Close, false), (Wish::CutOff { from: None }, true)] {
        stage.wish(vec![publish()]);
        let reader = reading(stage.run());
        stage.wish(vec![end]);
        let (read, why) = reader.join().unwrap();
        assert!(read.is_empty());
        assert_eq!(why.is_some(), cut, "{why:?}");
    }
    stage.wish(vec![publish()]);
    let (run, interrupt) = (stage.run(), stage.backend.interrupt());
    let reader = reading(run);
    interrupt.raise();
    let why = reader.join().unwrap().1;
    assert!(matches!(why, Some(StreamError::Interrupted)), "{why:?}");
}

#[test]
fn a_plan_that_panics_lets_a_waiting_reader_go() {
    let mut stage = Stage::new();
    run_of(&mut stage, &[0], 100);
    let reader = reading(stage.run());
    until_wanted(&mut stage, 0, 100);
    stage.panic();
    let why = reader.join().unwrap().1;
    assert!(matches!(why, Some(StreamError::Worker { .. })), "{why:?}");
}
