//! Every crash point of a scenario, and every pair of one in the work and one in the recovery.

use std::time::Instant;

use logspool::failpoint::crash;

use crate::world::{Setting, World};

/// What is done, killed anywhere; what the living and the next process do then, killed anywhere too.
pub struct Scenario {
    pub name: &'static str,
    pub setting: Setting,
    pub prepare: fn(&mut World),
    pub work: fn(&mut World),
    pub recover: fn(&mut World),
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "",
            setting: Setting::default(),
            prepare: |_| {},
            work: |_| {},
            recover: |world| {
                for process in world.living() {
                    world.drain(process);
                    world.adopt(process);
                }
                let next = world.start(&["a.jsonl", "b.jsonl"]);
                world.append(next, "a.jsonl", 90);
                world.drain(next);
            },
        }
    }
}

#[derive(Debug, Default)]
pub struct Outcome {
    /// Steps of the work, each a crash point.
    pub points: u64,
    /// Pairs of a crash in the work and one in the recovery.
    pub pairs: u64,
    /// Three crashes, drawn at random.
    pub triples: u64,
    pub faults: Vec<String>,
}

/// How much of it.
#[derive(Clone, Copy)]
pub struct Depth {
    /// Every crash in the work is followed by a crash at each `stride`th step of the recovery.
    pub stride: u64,
    /// Sequences of three crashes.
    pub triples: u64,
    /// Whether to end with the first fault.
    pub one_is_enough: bool,
    pub switches: &'static [&'static str],
}

const NEVER: u64 = u64::MAX;

pub fn explore(scenario: &Scenario, depth: Depth) -> Outcome {
    // What a crash leaves does not depend on these, and they take most of the time.
    crash::switch(&[&["no-backoff", "sparse", "quiet"], depth.switches].concat());
    let mut outcome = Outcome::default();
    let mut lengths = Vec::new();
    for point in 0.. {
        let (steps, ended) = run(scenario, &[point], &mut outcome);
        if ended {
            break;
        }
        outcome.points += 1;
        lengths.push(steps);
        // Another start each time, so that the stride leaves no step out altogether.
        let mut second = point % depth.stride;
        while second < steps {
            run(scenario, &[point, second], &mut outcome);
            outcome.pairs += 1;
            second += depth.stride;
        }
        if depth.one_is_enough && !outcome.faults.is_empty() {
            return outcome;
        }
    }
    let mut random = Random(0x5eed ^ lengths.len() as u64);
    for _ in 0..depth.triples {
        let point = random.below(lengths.len() as u64);
        let steps = lengths[usize::try_from(point).unwrap()].max(1);
        let path = [point, random.below(steps), random.below(steps)];
        run(scenario, &path, &mut outcome);
        outcome.triples += 1;
    }
    outcome
}

/// Runs it with a crash at the given step of the work and of each recovery, then recovers undisturbed. Gives the steps of
/// the last recovery and whether the work came to its end.
fn run(scenario: &Scenario, crashes: &[u64], outcome: &mut Outcome) -> (u64, bool) {
    let mut world = World::new(&scenario.setting);
    (scenario.prepare)(&mut world);
    let mut steps = 0;
    let mut ended = true;
    for (turn, at) in crashes.iter().chain([&NEVER]).enumerate() {
        let part = if turn == 0 {
            scenario.work
        } else {
            scenario.recover
        };
        crash::arm(*at);
        let survived = crash::survive(|| part(&mut world));
        steps = crash::disarm();
        if survived.is_err() {
            world.bury_the_dead();
        }
        if turn == 0 {
            ended = survived.is_ok();
        }
    }
    let faults = aftermath(&mut world);
    outcome.faults.extend(
        faults
            .into_iter()
            .map(|fault| format!("{} {crashes:?}: {fault}", scenario.name)),
    );
    (steps, ended)
}

/// Lets whoever is still there write what it has, and looks at what then stands in the logs.
pub fn aftermath(world: &mut World) -> Vec<String> {
    crash::fill_disk_at_write(NEVER);
    for process in world.living() {
        world.drain(process);
        world.adopt(process);
    }
    let mut faults: Vec<_> = world
        .living()
        .into_iter()
        .flat_map(|p| world.faults_of(p))
        .collect();
    faults.extend(world.ledger.faults(&world.logs()));
    faults.extend(
        world
            .leftovers()
            .into_iter()
            .map(|name| format!("{name} is left")),
    );
    faults
}

/// Explores and says what was found, how much and how long it took.
pub fn assert_exactly_once(scenario: &Scenario) {
    let long = std::env::var("LOGSPOOL_FAULTS").is_ok_and(|v| v == "long");
    let began = Instant::now();
    let outcome = explore(
        scenario,
        Depth {
            stride: if long { 1 } else { SHORT_STRIDE },
            triples: if long { 5_000 } else { 60 },
            one_is_enough: false,
            switches: &[],
        },
    );
    let took = began.elapsed();
    println!(
        "{}: {} crash points, {} pairs, {} triples, {:.1} s",
        scenario.name,
        outcome.points,
        outcome.pairs,
        outcome.triples,
        took.as_secs_f64()
    );
    let shown: Vec<_> = outcome.faults.iter().take(20).collect();
    assert!(
        shown.is_empty(),
        "{} faults, the first: {shown:#?}",
        outcome.faults.len()
    );
}

/// In the short form every fifty-third step of the recovery.
const SHORT_STRIDE: u64 = 53;

/// A small generator of its own, so that a run can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}
