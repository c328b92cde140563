//! The real producer and the real consumers at once, one store or load at a time, in every order with up to two changes
//! of the thread; killed in random ones. What holds for one thread after the other (`crash_model.rs`) holds here too.
//!
//! `LOGSPOOL_FAULTS=long` goes through more of them.
#![allow(missing_docs, dead_code)]

#[path = "crash/explore.rs"]
mod explore;
#[path = "crash/oracle.rs"]
mod oracle;
#[path = "crash/race.rs"]
mod race;
#[path = "crash/world.rs"]
mod world;

use logspool::config::WhenFull;
use logspool::failpoint::crash;

use race::{Race, assert_no_order_breaks_it, orders};
use world::Setting;

const A: &str = "a.jsonl";

fn drop_oldest() -> Race {
    Race {
        name: "drop_oldest while the consumer stages and writes",
        setting: Setting {
            ring: 800,
            when_full: WhenFull::DropOldest,
            ..Setting::default()
        },
        prepare: |world| {
            world.ledger.may_drop_oldest = true;
            let p = world.start(&[A]);
            world.append(p, A, 180);
            world.append(p, A, 180);
            world.append(p, A, 180);
        },
        appends: &[180, 180, 180],
        drains: 2,
        other: false,
    }
}

fn drop_newest() -> Race {
    Race {
        name: "drop_newest and its announcements",
        setting: Setting {
            ring: 1600,
            when_full: WhenFull::DropNewest,
            ..Setting::default()
        },
        prepare: |world| {
            let p = world.start(&[A]);
            for _ in 0..7 {
                world.append(p, A, 220);
            }
        },
        appends: &[220, 180, 180],
        drains: 2,
        other: false,
    }
}

fn new_lap() -> Race {
    Race {
        name: "a new lap begun in an empty ring",
        setting: Setting {
            ring: 512,
            when_full: WhenFull::DropNewest,
            ..Setting::default()
        },
        prepare: |world| {
            let p = world.start(&[A]);
            world.append(p, A, 240);
            world.drain(p);
        },
        appends: &[330, 90],
        drains: 2,
        other: false,
    }
}

fn another_finishes() -> Race {
    Race {
        name: "another process finishes a living one's intent",
        setting: Setting {
            ring: 1200,
            when_full: WhenFull::DropOldest,
            ..Setting::default()
        },
        prepare: |world| {
            world.ledger.may_drop_oldest = true;
            let p = world.start(&[A]);
            let other = world.start(&[A]);
            world.append(p, A, 180);
            world.append(p, A, 180);
            world.append(other, A, 100);
            crash::fill_disk_at_write(0);
            world.drain(p);
            world.append(p, A, 180);
        },
        appends: &[180, 180, 180],
        drains: 1,
        other: true,
    }
}

mod nothing_accepted_is_lost_doubled_torn_or_reordered_in_any_order {
    use super::assert_no_order_breaks_it;

    #[test]
    fn of_drops_of_the_oldest() {
        assert_no_order_breaks_it(&super::drop_oldest());
    }

    #[test]
    fn of_drops_of_the_newest() {
        assert_no_order_breaks_it(&super::drop_newest());
    }

    #[test]
    fn of_a_new_lap() {
        assert_no_order_breaks_it(&super::new_lap());
    }

    #[test]
    fn of_another_finisher() {
        assert_no_order_breaks_it(&super::another_finishes());
    }
}

fn caught(race: &Race, switches: &'static [&'static str]) {
    let outcome = orders(race, 23, 0, switches, true);
    assert!(!outcome.faults.is_empty(), "{switches:?} was not noticed");
    println!("{switches:?}: {}", outcome.faults[0]);
}

mod a_safeguard_switched_off_is_noticed {
    use super::caught;

    #[test]
    fn the_claim_before_the_write() {
        caught(&super::drop_oldest(), &["no-claim"]);
    }

    #[test]
    fn the_producer_kept_out_while_the_oldest_are_staged() {
        caught(&super::drop_oldest(), &["no-exclusion"]);
    }

    #[test]
    fn the_head_moved_after_the_frame() {
        caught(&super::drop_newest(), &["head-first"]);
    }
}
