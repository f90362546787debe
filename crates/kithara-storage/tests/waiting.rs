//! What a wait comes to, whatever the resource is up to. Polls and blocking waits give the same answers.

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use kithara_storage::{
    Interrupt, ResourceExt, ResourceStatus, StorageError, StorageResource, WaitOutcome,
};

fn poll(resource: &StorageResource, range: Range<u64>) -> Poll<Result<WaitOutcome, StorageError>> {
    resource.poll_range(&mut Context::from_waker(Waker::noop()), range)
}

/// The answer to a poll as text, the same as that of a blocking wait whenever there is one.
fn answer(resource: &StorageResource, range: Range<u64>) -> String {
    match poll(resource, range.clone()) {
        Poll::Pending => "pending".to_owned(),
        Poll::Ready(polled) => {
            let waited = resource.wait_range(range, &Interrupt::new());
            let text = |answer: Result<WaitOutcome, StorageError>| match answer {
                Ok(outcome) => format!("{outcome:?}"),
                Err(error) => error.to_string(),
            };
            let polled = text(polled);
            assert_eq!(polled, text(waited));
            polled
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the line went dead")]
struct LineDead;

#[test]
fn a_range_is_ready_when_the_whole_of_it_is_there() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(0, &[1; 10]).unwrap();
    writer.write_at(20, &[1; 10]).unwrap();
    let cases = [
        (0..10, "Ready"),
        (3..7, "Ready"),
        (5..11, "pending"),
        (10..20, "pending"),
        (0..30, "pending"),
        (20..30, "Ready"),
    ];
    for (range, expected) in cases {
        assert_eq!(answer(&resource, range.clone()), expected, "{range:?}");
    }
    assert_eq!(answer(&resource, 15..15), "Ready", "nothing is asked for");
    writer.write_at(10, &[1; 10]).unwrap();
    assert_eq!(answer(&resource, 0..30), "Ready");
}

#[test]
fn the_announced_end_is_seen_before_the_resource_is_complete() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(50, &[1; 50]).unwrap();
    assert_eq!(answer(&resource, 100..101), "pending");
    assert_eq!(answer(&resource, 90..200), "pending");
    writer.end_at(100);
    assert_eq!(answer(&resource, 100..101), "Eof");
    assert_eq!(answer(&resource, u64::MAX..u64::MAX), "Eof");
    assert_eq!(answer(&resource, 90..200), "Ready", "cut at the end");
    assert_eq!(answer(&resource, 0..10), "pending");
    assert_eq!(resource.committed_len(), None);
    assert!(matches!(resource.status(), ResourceStatus::Active));
    let past = writer.write_at(95, &[1; 6]).unwrap_err();
    assert!(
        matches!(
            past,
            StorageError::PastEnd {
                offset: 95,
                len: 6,
                end: 100
            }
        ),
        "{past:?}"
    );
}

#[test]
fn a_commit_needs_every_byte_and_names_the_first_gap() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(0, &[1; 10]).unwrap();
    writer.write_at(20, &[1; 10]).unwrap();
    let error = writer.commit(40).unwrap_err();
    assert!(
        matches!(&error, StorageError::Incomplete { gap, final_len: 40 } if *gap == (10..20)),
        "{error:?}"
    );
    assert!(matches!(resource.status(), ResourceStatus::Active));
    writer.write_at(10, &[1; 10]).unwrap();
    writer.commit(25).unwrap();
    assert_eq!(resource.committed_len(), Some(25));
    assert!(matches!(
        resource.status(),
        ResourceStatus::Committed { final_len: 25 }
    ));
    assert_eq!(
        (resource.coverage().total(), resource.covered_from(0)),
        (25, 25),
        "what lay behind the end is gone"
    );
    assert_eq!(
        (answer(&resource, 24..99), answer(&resource, 25..26)),
        ("Ready".into(), "Eof".into())
    );
    assert!(matches!(
        writer.write_at(0, &[2]),
        Err(StorageError::ReadOnly)
    ));
    assert!(matches!(writer.commit(24), Err(StorageError::ReadOnly)));
    writer.commit(25).unwrap();
    writer.fail(Arc::new(LineDead));
    writer.end_at(7);
    drop(writer);
    assert_eq!(
        resource.committed_len(),
        Some(25),
        "a finished resource stays finished"
    );
}

#[test]
fn an_empty_resource_can_be_committed() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(7, &[]).unwrap();
    writer.commit(0).unwrap();
    assert_eq!(answer(&resource, 0..1), "Eof");
}

#[test]
fn a_failure_is_told_to_those_who_miss_bytes_and_to_nobody_else() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(0, &[1; 10]).unwrap();
    assert_eq!(answer(&resource, 5..15), "pending");
    writer.fail(Arc::new(LineDead));
    assert_eq!(answer(&resource, 0..10), "Ready");
    assert_eq!(answer(&resource, 5..15), "bytes 10..15 never arrived");
    assert_eq!(resource.read_at(5, &mut [0; 10]).unwrap(), 5);
    let error = resource.wait_range(5..15, &Interrupt::new()).unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), LineDead.to_string());
    let StorageError::Failed { cause, .. } = error else {
        panic!("it failed")
    };
    assert!(cause.is::<LineDead>(), "the cause is kept");
    let ResourceStatus::Failed(cause) = resource.status() else {
        panic!("it failed")
    };
    assert!(cause.is::<LineDead>());
    writer.reactivate();
    assert_eq!(answer(&resource, 5..15), "pending");
    writer.write_at(10, &[1; 5]).unwrap();
    assert_eq!(answer(&resource, 5..15), "Ready");
}

#[test]
fn a_writer_that_vanishes_is_noticed_by_those_who_miss_bytes() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(0, &[1; 10]).unwrap();
    drop(writer);
    assert_eq!(answer(&resource, 0..10), "Ready");
    assert_eq!(
        answer(&resource, 0..12),
        "bytes 10..12 were abandoned by their writer"
    );
    let ResourceStatus::Failed(cause) = resource.status() else {
        panic!("it was abandoned")
    };
    assert!(matches!(
        cause.downcast_ref(),
        Some(StorageError::Abandoned { .. })
    ));
}

#[test]
fn a_failed_writer_that_vanishes_leaves_its_own_cause() {
    let (mut writer, resource) = StorageResource::memory();
    writer.fail(Arc::new(LineDead));
    drop(writer);
    assert_eq!(answer(&resource, 0..1), "bytes 0..1 never arrived");
}

#[test]
fn a_close_ends_every_wait_and_every_write_but_no_read() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(0, &[1; 10]).unwrap();
    resource.clone().close();
    assert_eq!(answer(&resource, 0..10), "the resource was closed");
    assert_eq!(answer(&resource, 20..30), "the resource was closed");
    assert!(matches!(resource.status(), ResourceStatus::Closed));
    assert!(matches!(
        writer.write_at(10, &[1]),
        Err(StorageError::Closed)
    ));
    assert!(matches!(writer.commit(10), Err(StorageError::Closed)));
    assert_eq!(resource.read_at(0, &mut [0; 99]).unwrap(), 10);
}

#[test]
fn a_raised_interrupt_keeps_a_wait_from_blocking_but_hides_no_answer() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(0, &[1; 10]).unwrap();
    writer.end_at(20);
    let interrupt = Interrupt::new();
    interrupt.raise();
    assert_eq!(
        resource.wait_range(0..10, &interrupt).unwrap(),
        WaitOutcome::Ready
    );
    assert_eq!(
        resource.wait_range(20..30, &interrupt).unwrap(),
        WaitOutcome::Eof
    );
    assert_eq!(
        resource.wait_range(5..15, &interrupt).unwrap(),
        WaitOutcome::Interrupted
    );
    writer.fail(Arc::new(LineDead));
    assert!(matches!(
        resource.wait_range(5..15, &interrupt),
        Err(StorageError::Failed { .. })
    ));
}

#[test]
fn a_write_at_the_end_of_all_offsets_is_refused() {
    let (mut writer, _resource) = StorageResource::memory();
    assert!(matches!(
        writer.write_at(u64::MAX - 1, &[1; 2]),
        Err(StorageError::PastEnd { .. })
    ));
}

#[test]
fn handles_and_errors_may_go_to_any_thread() {
    fn any_thread<T: Send + Sync + 'static>() {}
    any_thread::<StorageResource>();
    any_thread::<kithara_storage::ResourceWriter>();
    any_thread::<StorageError>();
    any_thread::<Interrupt>();
}
