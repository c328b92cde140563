//! What sampling promises, on time that stands still.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const INFO: i64 = 20;

fn rules(given: &[(&str, &str)]) -> Rules {
    Rules::new(
        given
            .iter()
            .map(|(name, rate)| (*name, rate.parse().unwrap())),
    )
    .unwrap()
}

/// Whether one log keeps one more record.
fn keeps(rules: &Rules, logger: &str, level: i64, now: u64) -> bool {
    let Some(place) = rules.find(logger).rule(level) else {
        return true;
    };
    Decisions::default().decide(rules, place, 0, || now).kept
}

fn name(rules: &Rules, logger: &str, level: i64) -> Option<String> {
    let place = rules.find(logger).rule(level)?;
    Some(rules.all[usize::from(place)].name.clone())
}

// req 36
#[test]
fn the_first_of_every_n_is_kept() {
    let rules = rules(&[("a", "3")]);
    let kept: Vec<_> = (0..7).map(|_| keeps(&rules, "a", INFO, 0)).collect();
    assert_eq!(kept, [true, false, false, true, false, false, true]);
}

// req 36
#[test]
fn warnings_and_above_are_always_kept() {
    let rules = rules(&[("", "1000"), ("http", "1000")]);
    for level in [30, 31, 40, 50, i64::MAX] {
        assert!((0..10).all(|_| keeps(&rules, "httpx", level, 0)));
    }
    assert!(!(0..2).all(|_| keeps(&rules, "httpx", 29, 0)));
}

// req 36
#[test]
fn the_rule_for_http_clients_is_for_their_debug_records_and_one_for_all_of_them() {
    let rules = rules(&[("http", "5")]);
    for client in HTTP_CLIENTS {
        assert_eq!(name(&rules, client, DEBUG).as_deref(), Some(HTTP));
        let child = format!("{client}.connection");
        assert_eq!(name(&rules, &child, DEBUG).as_deref(), Some(HTTP));
        assert_eq!(name(&rules, client, INFO), None);
        assert_eq!(name(&rules, &format!("{client}s"), DEBUG), None);
    }
    assert_eq!(name(&rules, "aiohttp.server", DEBUG), None);
    let kept = (0..50)
        .filter(|n| keeps(&rules, HTTP_CLIENTS[n % HTTP_CLIENTS.len()], DEBUG, 0))
        .count();
    assert_eq!(kept, 10);
}

#[test]
fn a_rule_by_name_goes_before_the_one_for_http_clients() {
    let rules = rules(&[("http", "5"), ("httpx", "1"), ("openai._base", "7/s")]);
    assert_eq!(
        name(&rules, "httpx.client", DEBUG).as_deref(),
        Some("httpx")
    );
    assert_eq!(name(&rules, "openai", DEBUG).as_deref(), Some(HTTP));
    assert_eq!(
        name(&rules, "openai._base", INFO).as_deref(),
        Some("openai._base")
    );
    assert_eq!(name(&rules, "openai.audio", INFO), None);
}

#[test]
fn a_rule_for_all_loggers_leaves_our_own_alone() {
    let rules = rules(&[("", "5")]);
    assert_eq!(name(&rules, "root", INFO).as_deref(), Some(""));
    assert_eq!(name(&rules, "logspool", INFO), None);
    assert_eq!(name(&rules, "logspool.cost", INFO), None);
    assert_eq!(name(&rules, "logspoolish", INFO).as_deref(), Some(""));
}

#[test]
fn rules_that_keep_everything_are_no_rules() {
    assert!(Rules::new([("http", Rate::OneIn(1)), ("a", Rate::OneIn(1))]).is_none());
    assert!(Rules::new([]).is_none());
}

#[test]
fn a_record_is_decided_once_for_all_the_logs_that_have_the_rule() {
    let (one, two) = (rules(&[("a", "2")]), rules(&[("a", "2"), ("b", "3")]));
    let other = rules(&[("a", "4")]);
    let place = |rules: &Rules| rules.find("a").debug.unwrap();
    let mut kept = [0; 3];
    for _ in 0..8 {
        let mut decisions = Decisions::default();
        let answers = [&one, &two, &other].map(|rules| {
            let verdict = decisions.decide(rules, place(rules), 0, || 0);
            usize::from(verdict.kept)
        });
        assert_eq!(answers[0], answers[1]);
        for (kept, answer) in kept.iter_mut().zip(answers) {
            *kept += answer;
        }
    }
    assert_eq!(kept, [4, 4, 2]);
}

#[test]
fn a_log_that_is_asked_again_about_a_record_is_asked_about_another_one() {
    let rules = rules(&[("a", "2")]);
    let mut decisions = Decisions::default();
    let mut keeps = || decisions.decide(&rules, 0, 0, || 0).kept;
    assert_eq!([keeps(), keeps(), keeps()], [true, false, true]);
}

#[test]
fn what_is_announced_is_what_was_not_kept_since_the_last_time() {
    let rules = rules(&[("a", "2")]);
    let rule = rules.iter().next().unwrap();
    let decide = |at: i64| Decisions::default().decide(&rules, 0, at, || 0).begins;
    assert_eq!(
        [decide(1), decide(2), decide(3), decide(4)],
        [false, true, false, false]
    );
    let tally = rule.take().unwrap();
    assert_eq!(
        (tally.kept, tally.sampled_out, tally.first, tally.last),
        (2, 2, 2, 4)
    );
    assert_eq!(rule.take(), None);
    decide(5);
    decide(6);
    rule.put_back(tally);
    let both = rule.take().unwrap();
    assert_eq!(
        (both.kept, both.sampled_out, both.first, both.last),
        (3, 3, 2, 6)
    );
    assert_eq!(rule.sampled_out(), 3);
}

#[test]
fn rates_are_read_as_they_are_written() {
    assert_eq!("10".parse(), Ok(Rate::OneIn(10)));
    assert_eq!("10/s".parse(), Ok(Rate::PerSecond(10)));
    for wrong in [
        "",
        "0",
        "0/s",
        "-1",
        "1.5",
        "/s",
        "ten",
        "10/m",
        "99999999999",
    ] {
        assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
    }
}

// req 36
#[test]
fn from_many_threads_exactly_one_in_n_is_kept() {
    let rules = Arc::new(rules(&[("a", "7")]));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let rules = Arc::clone(&rules);
            std::thread::spawn(move || (0..7_000).filter(|_| keeps(&rules, "a", INFO, 0)).count())
        })
        .collect();
    let kept: usize = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert_eq!(kept, 8_000);
    let tally = rules.iter().next().unwrap().take().unwrap();
    assert_eq!((tally.kept, tally.sampled_out), (8_000, 48_000));
}

/// The rule for a logger by the definition: of all names that are the logger or an ancestor of it, the longest.
fn longest<'a>(names: &'a BTreeMap<String, u32>, logger: &str) -> Option<&'a String> {
    names
        .keys()
        .filter(|name| {
            name.is_empty() || logger == *name || logger.starts_with(&format!("{name}."))
        })
        .max_by_key(|name| name.len())
}

proptest! {
    #[test]
    fn the_longest_prefix_wins(
        names in prop::collection::btree_map("([ab](\\.[ab]){0,3})?", 2_u32..9, 1..8),
        logger in "[ab]{1,2}(\\.[ab]{1,2}){0,4}",
    ) {
        let rules = Rules::new(names.iter().map(|(n, rate)| (n.as_str(), Rate::OneIn((*rate).into())))).unwrap();
        let wanted = longest(&names, &logger).cloned();
        prop_assert_eq!(&name(&rules, &logger, INFO), &wanted);
        prop_assert_eq!(&name(&rules, &logger, DEBUG), &wanted);
    }

    #[test]
    fn one_in_n_is_the_rounded_up_share(number in 1_u64..50, asked in 1_u64..500) {
        let Some(rules) = Rules::new([("a", Rate::OneIn(number))]) else {
            return Ok(());
        };
        let kept = (0..asked).filter(|_| keeps(&rules, "a", INFO, 0)).count() as u64;
        prop_assert_eq!(kept, asked.div_ceil(number));
    }

    /// Of any stretch of time: never more than a full bucket and what flowed in meanwhile.
    #[test]
    fn a_rate_holds_over_every_stretch_of_time(
        number in 1_u64..40,
        steps in prop::collection::vec(0_u64..400_000, 1..300),
    ) {
        let rules = Rules::new([("a", Rate::PerSecond(number))]).unwrap();
        let mut now = 5_000_000_000;
        let mut kept = Vec::new();
        for step in steps {
            now += step;
            if keeps(&rules, "a", INFO, now) {
                kept.push(now);
            }
        }
        for (from, begin) in kept.iter().enumerate() {
            for (to, end) in kept.iter().enumerate().skip(from) {
                let most = number + (end - begin) * number / SECOND + 1;
                prop_assert!((to - from + 1) as u64 <= most, "{} in {} µs", to - from + 1, end - begin);
            }
        }
    }

    /// After a quiet second the whole second's worth is kept at once, and nothing more.
    #[test]
    fn a_quiet_second_refills_the_bucket(number in 1_u64..2_000) {
        let rules = Rules::new([("a", Rate::PerSecond(number))]).unwrap();
        for round in 1..4 {
            let now = round * 2 * SECOND;
            let kept = (0..number + 10).filter(|_| keeps(&rules, "a", INFO, now)).count() as u64;
            prop_assert_eq!(kept, number);
        }
    }
}
