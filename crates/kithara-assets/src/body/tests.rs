//! A body between two steps of somebody else.

use kithara_storage::{ResourceExt, WaitOutcome};

use super::*;
use crate::AssetId;
use crate::desk::Command;

fn body() -> (Arc<Body>, kanal::Receiver<Command>) {
    let (asset, resource) = (AssetId([1; 32]), [2; 16]);
    let (desk, told) = Desk::new();
    let hold = Arc::new(Hold::new(asset, Arc::default()));
    let key = ResourceKey { asset, resource };
    let body = Body::new(key, hold, desk, Listener::none());
    (Arc::new(body), told)
}

fn sit_down(body: &Arc<Body>) -> Seat {
    body.expect();
    body.sit_down()
}

#[test]
fn who_wants_it_on_disk_now_calls_the_keeper_also_where_somebody_else_is_about_to() {
    let (body, told) = body();
    let seat = sit_down(&body);
    body.write(&seat, 0, &[1; 10]).unwrap();
    // Another thread has noted that it calls, and has not called yet.
    body.state.lock().queued = true;
    body.seal();
    assert!(matches!(told.try_recv(), Ok(Some(Command::Attend(_)))));
    assert!(matches!(body.next_task(), Task::Save(_)));
}

#[test]
fn a_reader_who_is_still_to_hear_of_bytes_knows_the_end() {
    let (body, _told) = body();
    let (one, other) = (sit_down(&body), sit_down(&body));
    // Bytes are there, and the gates have not heard of them yet.
    body.state.lock().take_in(0, &[1; 10]);
    body.complete(&one, 10).unwrap_err();
    for seat in [&one, &other] {
        let cx = &mut Context::from_waker(Waker::noop());
        let behind = seat.resource.poll_range(cx, 10..11);
        assert!(matches!(behind, Poll::Ready(Ok(WaitOutcome::Eof))));
    }
}
