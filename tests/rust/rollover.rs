//! Rotation by time means what `TimedRotatingFileHandler` means. # req 26
#![allow(missing_docs)]

use jiff::civil::date;
use jiff::tz::TimeZone;
use logspool::segment::when::When;

#[test]
fn boundaries_are_those_of_the_standard_library() {
    // Made by data/rollover.py, which says what it leaves out.
    let table = include_str!("data/rollover.tsv");
    let mut checked = 0;
    for row in table.lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let [zone_name, when, interval, now, expected] = fields[..] else {
            panic!("five columns: {row}");
        };
        let zone = TimeZone::get(zone_name).unwrap();
        let when: When = when.parse().unwrap();
        let (interval, now): (u32, i64) = (interval.parse().unwrap(), now.parse().unwrap());
        let expected: i64 = expected.parse().unwrap();
        assert_eq!(
            when.next_rollover_in(interval, &zone, now),
            expected,
            "{row}"
        );
        if zone_name == "UTC" {
            assert_eq!(when.next_rollover(interval, true, now), expected, "{row}");
        }
        checked += 1;
    }
    assert!(checked > 2_500, "{checked} rows");
}

fn seconds(zone: &str, (y, m, d): (i16, i8, i8), (hour, minute): (i8, i8)) -> i64 {
    let zone = TimeZone::get(zone).unwrap();
    date(y, m, d)
        .at(hour, minute, 0, 0)
        .to_zoned(zone)
        .unwrap()
        .timestamp()
        .as_second()
}

#[test]
fn a_day_on_which_the_clocks_change_ends_at_its_midnight() {
    for (zone, day, next, hours) in [
        ("Europe/Berlin", (2026, 3, 29), (2026, 3, 30), 23),
        ("Europe/Berlin", (2026, 10, 25), (2026, 10, 26), 25),
        ("Europe/Dublin", (2026, 3, 29), (2026, 3, 30), 23),
    ] {
        let start = seconds(zone, day, (0, 0));
        let tz = TimeZone::get(zone).unwrap();
        let end = When::Midnight.next_rollover_in(1, &tz, start);
        assert_eq!(end, seconds(zone, next, (0, 0)), "{zone} {day:?}");
        assert_eq!(end - start, hours * 3_600, "{zone} {day:?}");
        // All through the day, also in the hour that comes twice, the boundary is the same.
        for now in (start..end).step_by(600) {
            assert_eq!(
                When::Midnight.next_rollover_in(1, &tz, now),
                end,
                "{zone} {now}"
            );
        }
    }
    // Half an hour of daylight saving time.
    let tz = TimeZone::get("Australia/Lord_Howe").unwrap();
    let start = seconds("Australia/Lord_Howe", (2026, 4, 5), (0, 0));
    assert_eq!(
        When::Midnight.next_rollover_in(1, &tz, start) - start,
        24 * 3_600 + 1_800
    );
}

#[test]
fn a_day_without_a_midnight_begins_at_its_first_moment() {
    // On 2018-11-04 the clocks of São Paulo went from 23:59:59 to 01:00.
    let zone = "America/Sao_Paulo";
    let tz = TimeZone::get(zone).unwrap();
    let end = When::Midnight.next_rollover_in(1, &tz, seconds(zone, (2018, 11, 3), (12, 0)));
    assert_eq!(end, seconds(zone, (2018, 11, 4), (1, 0)));
    assert_eq!(
        When::Midnight.next_rollover_in(1, &tz, end),
        seconds(zone, (2018, 11, 5), (0, 0))
    );
    // Samoa had no 2011-12-30.
    let zone = "Pacific/Apia";
    let tz = TimeZone::get(zone).unwrap();
    let noon = seconds(zone, (2011, 12, 29), (12, 0));
    assert_eq!(
        When::Midnight.next_rollover_in(1, &tz, noon),
        seconds(zone, (2011, 12, 31), (0, 0))
    );
}

#[test]
fn an_interval_skips_midnights_and_weeks() {
    let monday = seconds("UTC", (2026, 11, 23), (9, 30));
    let midnight = seconds("UTC", (2026, 11, 24), (0, 0));
    assert_eq!(
        When::Midnight.next_rollover(3, true, monday),
        midnight + 2 * 86_400
    );
    assert_eq!(
        When::W(0).next_rollover(2, true, monday),
        midnight + 7 * 86_400
    );
    assert_eq!(
        When::Midnight.next_rollover(0, true, monday),
        midnight,
        "0 counts as 1"
    );
}

#[test]
fn a_process_that_starts_again_keeps_the_boundary() {
    let opened = seconds("UTC", (2026, 11, 21), (10, 0));
    for when in [
        When::S,
        When::M,
        When::H,
        When::D,
        When::Midnight,
        When::W(2),
    ] {
        let boundary = when.rollover_for(1, true, opened);
        assert!(boundary > opened, "{when}");
        // The last moment before it, and the moment itself, which belongs to the next segment.
        let calendar = matches!(when, When::Midnight | When::W(_));
        let from_last_moment = when.next_rollover(1, true, boundary - 1);
        assert_eq!(
            from_last_moment == boundary,
            calendar || when == When::S,
            "{when}"
        );
        assert!(when.rollover_for(1, true, boundary) > boundary, "{when}");
    }
}
