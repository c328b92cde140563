//! Every place at which a kill can interrupt the real code: producer, consumer, rotation, recovery. A crash stands in for
//! the kill before each store to mapped memory and each system call that changes files, and in the middle of each copy and
//! write; after it another process recovers, and is killed too. Nothing accepted is lost, doubled, torn or out of order.
//!
//! `LOGSPOOL_FAULTS=long` follows every crash in the work by a crash at every step of the recovery.
#![allow(missing_docs)]

#[path = "crash/explore.rs"]
mod explore;
#[path = "crash/oracle.rs"]
mod oracle;
#[path = "crash/world.rs"]
mod world;

use logspool::config::WhenFull;
use logspool::failpoint::crash;

use explore::{Depth, Scenario, assert_exactly_once, explore};
use world::{Setting, World};

const A: &str = "a.jsonl";
const B: &str = "b.jsonl";

fn in_turn(world: &mut World) {
    world.ledger.in_turn = true;
}

fn setting(change: impl FnOnce(&mut Setting)) -> Setting {
    let mut setting = Setting::default();
    change(&mut setting);
    setting
}

/// A ring with room for about five records of 200 bytes.
fn dropping(when_full: WhenFull) -> Setting {
    setting(|s| {
        s.ring = 1200;
        s.when_full = when_full;
    })
}

fn in_turn_but_for_drops(world: &mut World) {
    in_turn(world);
    world.ledger.may_drop_oldest = true;
}

fn two_logs() -> Scenario {
    Scenario {
        name: "two logs in one ring",
        prepare: in_turn,
        work: |world| {
            let p = world.start(&[A, B]);
            world.append(p, A, 80);
            world.append(p, B, 100);
            world.append(p, A, 120);
            world.drain(p);
            world.append(p, B, 90);
            world.append(p, A, 80);
            world.drain(p);
            world.append(p, B, 80);
        },
        ..Scenario::default()
    }
}

fn wrap() -> Scenario {
    Scenario {
        name: "a ring that wraps",
        setting: setting(|s| s.ring = 512),
        prepare: in_turn,
        work: |world| {
            let p = world.start(&[A]);
            for _ in 0..4 {
                world.append_all(p, A, &[150, 90]);
                world.drain(p);
            }
            world.append(p, A, 200);
        },
        ..Scenario::default()
    }
}

fn rotation() -> Scenario {
    Scenario {
        name: "rotation in the middle of a batch",
        setting: setting(|s| s.log.max_bytes = 300),
        prepare: in_turn,
        work: |world| {
            let p = world.start(&[A]);
            world.append_all(p, A, &[120; 5]);
            world.drain(p);
            world.append(p, A, 120);
            world.drain(p);
        },
        ..Scenario::default()
    }
}

fn long_lines() -> Scenario {
    Scenario {
        name: "batches and laps of long lines",
        setting: setting(|s| s.ring = 384 << 10),
        prepare: in_turn,
        work: |world| {
            let p = world.start(&[A]);
            world.append_all(p, A, &[90 << 10; 3]);
            world.drain(p);
            world.append(p, A, 80);
            world.drain(p);
        },
        ..Scenario::default()
    }
}

fn drop_newest() -> Scenario {
    Scenario {
        name: "drop_newest",
        setting: dropping(WhenFull::DropNewest),
        prepare: in_turn,
        work: |world| {
            let p = world.start(&[A]);
            world.append_all(p, A, &[200; 7]);
            world.drain(p);
            world.append_all(p, A, &[200; 2]);
            world.drain(p);
            world.append_all(p, A, &[200; 7]);
        },
        ..Scenario::default()
    }
}

fn drop_oldest() -> Scenario {
    Scenario {
        name: "drop_oldest",
        setting: dropping(WhenFull::DropOldest),
        prepare: in_turn_but_for_drops,
        work: |world| {
            let p = world.start(&[A, B]);
            world.append(p, B, 90);
            world.append_all(p, A, &[200; 6]);
            world.drain(p);
            world.append_all(p, A, &[200; 7]);
        },
        ..Scenario::default()
    }
}

fn drop_oldest_claimed() -> Scenario {
    Scenario {
        name: "drop_oldest overwrites what an intent holds",
        setting: dropping(WhenFull::DropOldest),
        prepare: in_turn_but_for_drops,
        work: |world| {
            let p = world.start(&[A]);
            world.append_all(p, A, &[200; 3]);
            crash::fill_disk_at_write(0);
            world.drain(p);
            world.append_all(p, A, &[200; 5]);
            world.drain(p);
        },
        ..Scenario::default()
    }
}

fn orphan() -> Scenario {
    Scenario {
        name: "an orphan recovered by another process",
        setting: setting(|s| s.log.max_bytes = 500),
        prepare: |world| {
            in_turn(world);
            let p = world.start(&[A, B]);
            for _ in 0..3 {
                world.append(p, A, 120);
                world.append(p, B, 120);
            }
            world.kill(p);
        },
        work: |world| {
            let p = world.start(&[A]);
            world.append(p, A, 100);
            world.drain(p);
            world.shut_down(p);
        },
        ..Scenario::default()
    }
}

fn two_orphans() -> Scenario {
    Scenario {
        name: "two orphans beside a living process",
        prepare: |world| {
            let living = world.start(&[A]);
            world.append(living, A, 90);
            for _ in 0..2 {
                let p = world.start(&[A]);
                world.append_all(p, A, &[120; 2]);
                world.kill(p);
            }
        },
        work: |world| {
            world.adopt(0);
            world.append(0, A, 100);
            world.drain(0);
        },
        ..Scenario::default()
    }
}

fn intent_of_the_living() -> Scenario {
    Scenario {
        name: "the intent of a living process finished by another",
        prepare: |world| {
            let living = world.start(&[A]);
            world.append_all(living, A, &[120; 3]);
            crash::fill_disk_at_write(0);
            world.drain(living);
            world.append(living, A, 120);
        },
        work: |world| {
            let p = world.start(&[A]);
            world.append(p, A, 100);
            world.drain(p);
            world.drain(0);
        },
        ..Scenario::default()
    }
}

fn unseen_ring() -> Scenario {
    Scenario {
        name: "an intent whose ring cannot be seen",
        work: |world| {
            let p = world.start_elsewhere(1, &[A]);
            world.append_all(p, A, &[120; 2]);
            world.drain(p);
            world.append(p, A, 120);
        },
        recover: |world| {
            let other = world.start(&[A]);
            world.append(other, A, 90);
            world.drain(other);
            let next = world.start_elsewhere(1, &[A]);
            world.append(next, A, 90);
            world.drain(next);
        },
        ..Scenario::default()
    }
}

fn first_open() -> Scenario {
    Scenario {
        name: "a file that stood there before",
        prepare: |world| {
            in_turn(world);
            std::fs::create_dir(world.logs()).unwrap();
            std::fs::write(world.logs().join(A), "before\n").unwrap();
            world.ledger.before.insert(A, "before\n".to_owned());
        },
        work: |world| {
            let p = world.start(&[A]);
            world.append(p, A, 100);
            world.drain(p);
        },
        ..Scenario::default()
    }
}

fn gzip() -> Scenario {
    Scenario {
        name: "compression of closed segments",
        setting: setting(|s| s.log.max_bytes = 300),
        prepare: |world| {
            in_turn(world);
            let p = world.start(&[A]);
            world.append_all(p, A, &[120; 7]);
            world.drain(p);
        },
        work: |world| {
            world.maintain(0, A, 0);
            world.append(0, A, 100);
            world.drain(0);
        },
        recover: |world| {
            let next = world.start(&[A]);
            world.maintain(next, A, 0);
        },
    }
}

fn held_by_another() -> Scenario {
    Scenario {
        name: "one of two logs held by another process",
        setting: setting(|s| s.ring = 600),
        prepare: |world| {
            in_turn(world);
            let p = world.start(&[A, B]);
            world.append(p, A, 80);
            world.append(p, B, 100);
            world.drain(p);
            world.hold(B);
        },
        work: |world| {
            world.append(0, B, 90);
            world.append(0, A, 100);
            world.drain(0);
            world.append(0, A, 120);
            world.drain(0);
            world.release();
            world.drain(0);
            world.append(0, B, 90);
        },
        recover: |world| {
            world.release();
            (Scenario::default().recover)(world);
        },
    }
}

fn growing() -> Scenario {
    Scenario {
        name: "a ring that grows",
        setting: setting(|s| {
            s.ring = 16 << 10;
            s.first = 2 << 10;
        }),
        prepare: in_turn,
        work: |world| {
            let p = world.start(&[A]);
            world.append(p, A, 900);
            world.drain(p);
            world.append_all(p, A, &[900; 2]);
            world.drain(p);
            world.append(p, A, 80);
        },
        ..Scenario::default()
    }
}

fn foreign_writer() -> Scenario {
    Scenario {
        name: "another program appends to the segment",
        prepare: in_turn,
        work: |world| {
            let p = world.start(&[A]);
            world.append_all(p, A, &[80; 2]);
            world.drain(p);
            world.meddle(A);
            world.append_all(p, A, &[80; 2]);
            world.drain(p);
        },
        recover: |world| {
            world.meddle(A);
            (Scenario::default().recover)(world);
        },
        ..Scenario::default()
    }
}

macro_rules! exactly_once {
    ($($scenario:ident)*) => {
        mod nothing_accepted_is_lost_doubled_torn_or_reordered {
            $(
                #[test]
                fn $scenario() {
                    super::assert_exactly_once(&super::$scenario());
                }
            )*
        }
    };
}

exactly_once! {
    two_logs wrap rotation long_lines drop_newest drop_oldest drop_oldest_claimed orphan two_orphans intent_of_the_living
    unseen_ring first_open gzip held_by_another growing foreign_writer
}

/// With one safeguard switched off the model finds a fault.
fn caught(scenario: &Scenario, switches: &'static [&'static str]) {
    let outcome = explore(
        scenario,
        Depth {
            stride: 7,
            triples: 0,
            one_is_enough: true,
            switches,
        },
    );
    assert!(!outcome.faults.is_empty(), "{switches:?} was not noticed");
    println!("{switches:?}: {}", outcome.faults[0]);
}

mod a_safeguard_switched_off_is_noticed {
    use super::caught;

    #[test]
    fn no_intent_before_the_write() {
        caught(&super::two_logs(), &["no-intent"]);
    }

    #[test]
    fn an_intent_current_before_it_is_whole() {
        caught(&super::two_logs(), &["current-first"]);
    }

    #[test]
    fn an_intent_cleared_before_the_ring_knows() {
        caught(&super::two_logs(), &["clear-first"]);
    }

    #[test]
    fn an_intent_finished_without_looking_at_the_file() {
        caught(&super::two_logs(), &["blind-finish"]);
    }

    #[test]
    fn the_ring_told_before_the_write_without_an_intent() {
        caught(&super::two_logs(), &["done-first", "no-intent"]);
    }

    #[test]
    fn the_tail_advanced_past_a_log_that_is_held() {
        caught(&super::held_by_another(), &["tail-first"]);
    }

    #[test]
    fn a_frame_committed_before_its_bytes() {
        caught(&super::two_logs(), &["commit-first", "no-checksum"]);
    }

    #[test]
    fn an_intent_finished_for_an_unseen_ring_without_a_note() {
        caught(&super::unseen_ring(), &["no-note"]);
    }

    #[test]
    fn an_orphan_unlinked_before_it_is_drained() {
        caught(&super::orphan(), &["unlink-first"]);
    }

    #[test]
    fn drops_struck_out_before_the_intent() {
        caught(&super::drop_oldest(), &["announced-first"]);
    }
}
