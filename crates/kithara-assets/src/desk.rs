//! How the keeper is told what to do, and the thread on which it does it.

use std::io;
use std::sync::Arc;

use kithara_storage::Stored;

use crate::body::Body;
use crate::keeper::{Keeper, contained};
use crate::lease::Hold;
use crate::{AssetError, AssetId, AssetInfo, Cleared};

/// What a keeper can be told.
pub(crate) enum Command {
    /// This lies on disk for a body: it is yours now.
    Found(Arc<Body>, Stored),
    /// Somebody has opened a resource.
    Opened(Arc<Body>),
    /// There may be something to do for a body.
    Attend(Arc<Body>),
    /// A title was found unchanged at its origin, at this time.
    Validated(Arc<Hold>, u64),
    Pin(AssetId, kanal::Sender<Result<(), AssetError>>),
    Unpin(AssetId, kanal::Sender<Result<(), AssetError>>),
    Remove(AssetId, kanal::Sender<Result<bool, AssetError>>),
    Clear(kanal::Sender<Cleared>),
    List(Find, kanal::Sender<Vec<AssetInfo>>),
    /// Answer once everything is done.
    Settle(kanal::Sender<()>),
    /// Nobody is left who could tell you anything. Do what you were told, and end.
    Stop,
}

/// Which titles are asked for.
pub(crate) enum Find {
    All,
    One(AssetId),
}

/// Where commands are left. Leaving one never waits.
#[derive(Clone)]
pub(crate) struct Desk(kanal::Sender<Command>);

impl Desk {
    pub(crate) fn new() -> (Self, kanal::Receiver<Command>) {
        let (sender, receiver) = kanal::unbounded();
        (Self(sender), receiver)
    }

    pub(crate) fn send(&self, command: Command) {
        // A keeper that has ended has nothing left to do: whoever still reads does so without it.
        let _ = self.0.send(command);
    }
}

/// Gives a keeper a thread. The receiver returned hears that it has ended: its sender is dropped then.
pub(crate) fn employ(
    keeper: Keeper,
    told: kanal::Receiver<Command>,
) -> io::Result<kanal::Receiver<()>> {
    let (alive, ended) = kanal::bounded(0);
    std::thread::Builder::new()
        .name("kithara-cache".to_owned())
        .spawn(move || {
            work(keeper, &told);
            drop(told);
            drop(alive);
        })?;
    Ok(ended)
}

/// Works until told to stop: what it is told goes before what is waiting to be saved, so that a question waits for one
/// write at most.
pub(crate) fn work(mut keeper: Keeper, told: &kanal::Receiver<Command>) {
    let mut stopping = false;
    loop {
        while let Ok(Some(command)) = told.try_recv() {
            stopping |= matches!(command, Command::Stop);
            contained(|| keeper.handle(command));
        }
        if keeper.step() {
            continue;
        }
        keeper.rest();
        if stopping {
            break;
        }
        match told.recv() {
            Ok(command) => {
                stopping |= matches!(command, Command::Stop);
                contained(|| keeper.handle(command));
            }
            Err(_) => break,
        }
    }
    contained(|| keeper.finish());
    // A command may hold a body, which holds the other end of this channel: left in it, neither would ever go.
    while let Ok(Some(_)) = told.try_recv() {}
}
