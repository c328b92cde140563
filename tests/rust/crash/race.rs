//! Producer and consumers of the real code at once: every order of their accesses to shared memory with a few changes of
//! the thread, and a kill anywhere in it.

use std::sync::Mutex;
use std::time::Instant;

use logspool::failpoint::crash;
use logspool::failpoint::turns::{self, Plan};
use logspool::writer::source;

use crate::explore::{Random, aftermath};
use crate::oracle::{Call, Ledger};
use crate::world::{Plain, Setting, World};

/// What happens at once.
pub struct Race {
    pub name: &'static str,
    pub setting: Setting,
    pub prepare: fn(&mut World),
    /// Records of process 0.
    pub appends: &'static [usize],
    /// Rounds of the writer thread of process 0.
    pub drains: usize,
    /// Whether process 1 drains what it has, too.
    pub other: bool,
}

const LOG: &str = "a.jsonl";

impl World {
    fn race(&mut self, race: &Race, plan: Plan, switches: &'static [&'static str]) -> (u64, bool) {
        let mut lines = Vec::new();
        let first = self.ledger.calls.len();
        for (i, len) in race.appends.iter().enumerate() {
            let line = Ledger::line(first + i, *len);
            self.ledger.calls.push(Call {
                process: 0,
                log: LOG,
                outcome: None,
                len: line.len(),
            });
            lines.push(line);
        }
        let outcomes = Mutex::new(Vec::new());
        let it = self.processes[0].as_ref().expect("it lives");
        let begin = || crash::switch(&[&["no-backoff", "sparse", "quiet"], switches].concat());
        let mut tasks: Vec<Box<dyn FnOnce() + Send + '_>> = vec![
            Box::new(|| {
                begin();
                for line in &mut lines {
                    let outcome = it.spool.append(0, line, true, false, &mut Plain);
                    outcomes.lock().unwrap().push(outcome);
                }
            }),
            Box::new(|| {
                begin();
                for _ in 0..race.drains {
                    it.shared.drain(&it.spool);
                }
            }),
        ];
        if race.other {
            let other = self.processes[1].as_ref().expect("it lives");
            tasks.push(Box::new(move || {
                begin();
                other.spool.stores.lock().drain(source(&other.spool));
            }));
        }
        let (taken, killed) = turns::run(tasks, plan);
        for (i, outcome) in outcomes.into_inner().unwrap().into_iter().enumerate() {
            self.ledger.calls[first + i].outcome = Some(outcome);
        }
        if killed {
            self.kill(0);
            if race.other {
                self.kill(1);
            }
        }
        (taken, killed)
    }
}

/// Orders gone through, and what was wrong.
#[derive(Default)]
pub struct Outcome {
    pub orders: u64,
    pub kills: u64,
    pub faults: Vec<String>,
}

fn run(race: &Race, plan: &Plan, switches: &'static [&'static str], outcome: &mut Outcome) -> u64 {
    let mut world = World::new(&race.setting);
    (race.prepare)(&mut world);
    let (taken, killed) = world.race(race, plan.clone(), switches);
    if killed {
        let next = world.start(&[LOG]);
        world.append(next, LOG, 90);
    }
    for fault in aftermath(&mut world) {
        outcome
            .faults
            .push(format!("{} {plan:?}: {fault}", race.name));
    }
    taken
}

/// Each order with up to two changes of the thread, every `stride`th of those with two, and `kills` kills in random ones.
pub fn orders(
    race: &Race,
    stride: u64,
    kills: u64,
    switches: &'static [&'static str],
    one_is_enough: bool,
) -> Outcome {
    crash::switch(&[&["no-backoff", "sparse", "quiet"], switches].concat());
    let mut outcome = Outcome::default();
    let mut longest = 0;
    for first in 0..2 + usize::from(race.other) {
        let plan = |switches: &[u64]| Plan {
            first,
            switches: switches.to_vec(),
            kill_at: u64::MAX,
        };
        let mut a = 0;
        loop {
            let taken = run(race, &plan(&[a]), switches, &mut outcome);
            outcome.orders += 1;
            longest = longest.max(taken);
            if a >= taken {
                break;
            }
            let mut b = a + 1 + a % stride;
            while b < taken {
                run(race, &plan(&[a, b]), switches, &mut outcome);
                outcome.orders += 1;
                b += stride;
            }
            if one_is_enough && !outcome.faults.is_empty() {
                return outcome;
            }
            a += 1;
        }
    }
    let mut random = Random(0xace ^ longest);
    for _ in 0..kills {
        let plan = Plan {
            first: usize::try_from(random.below(3)).unwrap(),
            switches: (0..random.below(4))
                .map(|_| random.below(longest))
                .collect(),
            kill_at: random.below(longest),
        };
        run(race, &plan, switches, &mut outcome);
        outcome.kills += 1;
    }
    outcome
}

pub fn assert_no_order_breaks_it(race: &Race) {
    let long = std::env::var("LOGSPOOL_FAULTS").is_ok_and(|v| v == "long");
    let began = Instant::now();
    let (stride, kills) = if long { (13, 5_000) } else { (307, 200) };
    let outcome = orders(race, stride, kills, &[], false);
    println!(
        "{}: {} orders, {} kills, {:.1} s",
        race.name,
        outcome.orders,
        outcome.kills,
        began.elapsed().as_secs_f64()
    );
    let shown: Vec<_> = outcome.faults.iter().take(20).collect();
    assert!(
        shown.is_empty(),
        "{} faults, the first: {shown:#?}",
        outcome.faults.len()
    );
}
