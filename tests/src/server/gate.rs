//! A gate: the server holds an answer at it until the test opens it.

use super::board::Board;

/// Holds an answer at a chosen byte until the test opens it, so that no test has to sleep.
///
/// Clones are the same gate. Once open it stays open for every later arrival until [`Gate::close`].
#[derive(Clone, Debug)]
pub struct Gate {
    board: Board<State>,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    holding: usize,
    arrivals: usize,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self {
            board: Board::new(State::default()),
        }
    }

    /// Lets every held answer go on, and every later one through.
    pub fn open(&self) {
        self.board.update(|state| state.open = true);
    }

    /// Holds whoever arrives from now on.
    pub fn close(&self) {
        self.board.update(|state| state.open = false);
    }

    /// Whether arrivals pass.
    pub fn is_open(&self) -> bool {
        self.board.read(|state| state.open)
    }

    /// How many answers are held at this moment.
    pub fn holding(&self) -> usize {
        self.board.read(|state| state.holding)
    }

    /// How many answers ever reached the gate, held or not.
    pub fn arrivals(&self) -> usize {
        self.board.read(|state| state.arrivals)
    }

    /// Blocks until an answer is held at the gate. Everything before the gate has then been written to the socket.
    ///
    /// # Panics
    /// After a minute without one.
    pub fn wait_held(&self) {
        self.board
            .wait_blocking("an answer arriving at the gate", |state| state.holding > 0);
    }

    /// The async twin of [`Gate::wait_held`], without a hang guard.
    pub async fn held(&self) {
        self.board.wait(|state| state.holding > 0).await;
    }

    /// The server's side: returns when the gate is open.
    pub(crate) async fn pass(&self) {
        /// Counts the holder out even when its connection dies while it waits.
        struct Holding<'a>(&'a Board<State>);
        impl Drop for Holding<'_> {
            fn drop(&mut self) {
                self.0.update(|state| state.holding -= 1);
            }
        }
        let held = self.board.update(|state| {
            state.arrivals += 1;
            if !state.open {
                state.holding += 1;
            }
            !state.open
        });
        if held {
            let _holding = Holding(&self.board);
            self.board.wait(|state| state.open).await;
        }
    }
}
