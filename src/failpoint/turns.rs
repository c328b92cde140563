//! Several threads of the real code, one at a time: at every access to mapped memory another one may go on instead, as a
//! plan says. So a test goes through the orders in which they can meet, and kills all of them at any moment.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::crash;

/// Turns without any progress after which everybody waits for everybody.
const STUCK: u32 = 1000;

/// In which order threads go on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who begins.
    pub first: usize,
    /// After how many turns, of all threads together, the next thread goes on.
    pub switches: Vec<u64>,
    /// The turn at which all are killed; never with `u64::MAX`.
    pub kill_at: u64,
}

struct State {
    plan: Plan,
    running: usize,
    taken: u64,
    ended: Vec<bool>,
    waited: u32,
}

/// A plan and how far it is.
pub struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

thread_local! {
    static TASK: RefCell<Option<(Arc<Turns>, usize)>> = const { RefCell::new(None) };
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(
        &'a self,
        me: usize,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        while state.running != me {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// One turn of thread `me` begins; true when it is the last, for all.
    fn turn(&self, me: usize) -> bool {
        let mut state = self.lock();
        state.waited = 0;
        if state.plan.switches.contains(&state.taken) {
            state.pass_on();
            self.changed.notify_all();
        }
        state.taken += 1;
        state = self.wait_for(me, state);
        state.taken > state.plan.kill_at
    }

    fn blocked(&self, me: usize) -> bool {
        let mut state = self.lock();
        state.waited += 1;
        assert!(state.waited < STUCK, "all threads wait for each other");
        state.pass_on();
        self.changed.notify_all();
        state = self.wait_for(me, state);
        state.taken > state.plan.kill_at
    }

    fn end(&self, me: usize) {
        let mut state = self.lock();
        state.ended[me] = true;
        state.waited = 0;
        state.pass_on();
        self.changed.notify_all();
    }
}

impl State {
    fn pass_on(&mut self) {
        let n = self.ended.len();
        let next = (1..=n)
            .map(|i| (self.running + i) % n)
            .find(|t| !self.ended[*t]);
        self.running = next.unwrap_or(self.running);
    }
}

/// Runs the tasks by the plan; gives the turns they took and whether they were killed.
///
/// # Panics
/// When a task does.
#[must_use]
pub fn run(tasks: Vec<Box<dyn FnOnce() + Send + '_>>, plan: Plan) -> (u64, bool) {
    let turns = Arc::new(Turns {
        state: Mutex::new(State {
            running: plan.first % tasks.len(),
            plan,
            taken: 0,
            ended: vec![false; tasks.len()],
            waited: 0,
        }),
        changed: Condvar::new(),
    });
    let killed = std::thread::scope(|scope| {
        let threads: Vec<_> = tasks
            .into_iter()
            .enumerate()
            .map(|(me, task)| {
                let turns = Arc::clone(&turns);
                scope.spawn(move || {
                    drop(turns.wait_for(me, turns.lock()));
                    TASK.set(Some((Arc::clone(&turns), me)));
                    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        crash::survive(task).is_err()
                    }));
                    TASK.set(None);
                    turns.end(me);
                    ended
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| match t.join() {
                Ok(Ok(killed)) => killed,
                Ok(Err(payload)) | Err(payload) => std::panic::resume_unwind(payload),
            })
            .fold(false, |a, b| a | b)
    });
    let taken = turns.lock().taken;
    (taken, killed)
}

fn current() -> Option<(Arc<Turns>, usize)> {
    if crash::died() {
        return None;
    }
    TASK.with_borrow(Clone::clone)
}

/// Another thread may go on here.
pub fn turn() {
    if let Some((turns, me)) = current()
        && turns.turn(me)
    {
        crash::crash();
    }
}

/// What this thread waits for is another's: true when it may look again, false when nobody made a plan.
pub fn blocked() -> bool {
    let Some((turns, me)) = current() else {
        return false;
    };
    if turns.blocked(me) {
        crash::crash();
    }
    true
}
