//! `logspool recover DIR`: by hand, what a starting process does.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use crate::cli::out::Out;
use crate::cli::survey::{self, Survey};
use crate::cli::{
    Ended, counted, dir_argument, directory, grouped, json_argument, quoted, spool_dir_argument,
    spool_dirs,
};
use crate::report;
use crate::spool::by_hand::{self, IntentReport, Report, RingReport};
use crate::spool::recover::Fate;

/// How long what was said on standard error gets to appear.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub const EXAMPLES: &str = "Examples:
  logspool recover logs                        adopt what killed processes left in logs/.logspool/ and in shared memory
  logspool recover --spool-dir /fast logs      and what programs with spool_dir=\"/fast\" left
  logspool recover --json logs | jq .records";

pub fn command() -> Command {
    Command::new("recover")
        .about("Writes the records that killed processes left in the spool, as the next starting process would.")
        .long_about(
            "Writes the records that killed processes left in the spool, as the next starting process would, and finishes \
             appends they left half done. Spools of living processes are left to them. Killing this command does no harm: \
             run it again.",
        )
        .arg(dir_argument().required(true))
        .arg(spool_dir_argument())
        .arg(
            Arg::new("wait")
                .long("wait")
                .value_name("SECONDS")
                .default_value("5")
                .value_parser(value_parser!(u32).range(..=86400))
                .help("How long to try for a log that another process holds"),
        )
        .arg(json_argument())
}

pub fn run(matches: &ArgMatches, out: &mut Out) -> Result<Ended, String> {
    let (path, _) = directory(matches)?.ok_or("which directory? logspool recover DIR")?;
    let spool_dirs = spool_dirs(matches)?;
    let before = Survey::of(&path, &spool_dirs)?;
    before.require_logs()?;
    let wait = Duration::from_secs(matches.get_one::<u32>("wait").copied().unwrap_or(5).into());
    let report = by_hand::recover(&path, &spool_dirs, wait).map_err(|e| e.to_string())?;
    report::drain(LAST_WORDS);
    let left = left(&report, &before);
    if matches.get_flag("json") {
        out.json(&as_json(&path, &report, &left));
    } else {
        show(&path, &report, &left, out);
    }
    Ok(if left.is_empty() {
        Ended::Fine
    } else {
        Ended::Wrong
    })
}

/// Rings that are another user's: who recovers them must be that user, or the logs would get files of a stranger's.
fn others(before: &Survey) -> Vec<String> {
    let me = rustix::process::geteuid().as_raw();
    let as_user = |uid: u32| {
        format!(
            "run this as that user (sudo -u '#{uid}' logspool recover {})",
            quoted(&before.path)
        )
    };
    let closed = before.owns.iter().filter_map(|own| {
        let why = own.closed.as_ref()?;
        Some(format!(
            "{} cannot be looked into ({why}), and records may wait there. It belongs to {}: {}",
            own.path.display(),
            survey::user(own.uid),
            as_user(own.uid)
        ))
    });
    let rings = before
        .rings
        .iter()
        .filter(|r| r.uid != me && !r.owner.held)
        .map(|r| {
            format!(
                "{} belongs to {}: {}",
                r.shown(),
                survey::user(r.uid),
                as_user(r.uid)
            )
        });
    closed.chain(rings).collect()
}

/// What was left and somebody must see to.
fn left(report: &Report, before: &Survey) -> Vec<String> {
    let me = rustix::process::geteuid().as_raw();
    let anothers = |ring: &RingReport| {
        let mut known = before.rings.iter();
        known.any(|r| r.uid != me && r.file == ring.name && r.place == ring.place)
    };
    let rings = report
        .rings
        .iter()
        .filter(|ring| ring.done.fate != Fate::Foreign || !anothers(ring))
        .filter_map(|ring| Some(format!("{}: {}", shown(ring), why_left(ring, before)?)));
    let intents = report.intents.iter().filter_map(|intent| {
        let why = intent.left.as_ref()?;
        Some(format!("an append to {}: {why}", intent.log))
    });
    rings.chain(intents).chain(others(before)).collect()
}

fn shown(ring: &RingReport) -> String {
    ring.place.join(&ring.name).display().to_string()
}

fn why_left(ring: &RingReport, before: &Survey) -> Option<String> {
    match ring.done.fate {
        Fate::Finished | Fate::SetAside | Fate::Held | Fate::Gone => None,
        Fate::Linked => Some(
            "it has another name somewhere (a hard link), and its records would be written twice; remove one of the names, and \
             run this again"
                .to_owned(),
        ),
        Fate::Foreign => Some(
            "it is no file of this user's that can be opened (a link, a directory, or one without permissions); remove it or put \
             it right, and run this again"
                .to_owned(),
        ),
        Fate::Exposed => Some(
            "other users may write to it, and may have put their records in it; if nobody did, chmod 600 it, and run this again"
                .to_owned(),
        ),
        Fate::OtherVersion(version) => Some(format!(
            "its format has version {version}; run the `logspool recover` of the logspool that wrote it"
        )),
        Fate::Copy => Some(
            before
                .rings
                .iter()
                .find(|r| r.file == ring.name && r.place == ring.place)
                .and_then(|r| before.copy_advice(r))
                .unwrap_or_else(|| {
                    "it is a copy of another spool, whose records it would write again; remove it".to_owned()
                }),
        ),
        Fate::Unfinished => Some(
            "one of its logs is locked by another process or cannot be written (`logspool doctor` says which); run \
             this again then"
                .to_owned(),
        ),
        Fate::Failed => Some("it cannot be opened or read (see above)".to_owned()),
    }
}

fn what_happened(ring: &RingReport) -> String {
    let records = counted(ring.done.records, "record");
    match ring.done.fate {
        Fate::Finished => format!("{records} recovered"),
        Fate::SetAside => format!(
            "{records} recovered; {} bytes were damaged by something other than logspool, and the file is kept as {}.damaged",
            grouped(ring.done.damaged),
            ring.name.trim_end_matches(".ring")
        ),
        Fate::Held => "its process lives, and writes it itself".to_owned(),
        Fate::Gone => "another process has finished it".to_owned(),
        Fate::OtherVersion(_)
        | Fate::Copy
        | Fate::Linked
        | Fate::Exposed
        | Fate::Foreign
        | Fate::Unfinished
        | Fate::Failed => {
            format!("{records} recovered so far")
        }
    }
}

fn records(report: &Report) -> u64 {
    let done = |i: &&IntentReport| i.left.is_none();
    report.rings.iter().map(|r| r.done.records).sum::<u64>()
        + report
            .intents
            .iter()
            .filter(done)
            .map(|i| i.records)
            .sum::<u64>()
}

fn show(path: &std::path::Path, report: &Report, left: &[String], out: &mut Out) {
    for ring in &report.rings {
        out.line(&format!("{}: {}", shown(ring), what_happened(ring)));
    }
    for intent in report.intents.iter().filter(|i| i.left.is_none()) {
        out.line(&format!(
            "{}: an append of {} that a killed process left half done is finished",
            path.join(&intent.log).display(),
            counted(intent.records, "record")
        ));
    }
    for sentence in left {
        out.line(&format!("LEFT  {sentence}"));
    }
    if report.rings.is_empty() && report.intents.is_empty() && left.is_empty() {
        out.line(&format!("{}: nothing to recover", path.display()));
    } else {
        let total = counted(records(report), "record");
        out.line(&format!("{}: {total} recovered", path.display()));
    }
}

fn as_json(path: &std::path::Path, report: &Report, left: &[String]) -> Value {
    let fate = |fate: Fate| match fate {
        Fate::Finished => "finished",
        Fate::SetAside => "damaged",
        Fate::Held => "living",
        Fate::Gone => "gone",
        Fate::Linked => "linked",
        Fate::Exposed => "exposed",
        Fate::Foreign => "foreign",
        Fate::OtherVersion(_) => "other_version",
        Fate::Copy => "copy",
        Fate::Unfinished => "unfinished",
        Fate::Failed => "failed",
    };
    json!({
        "directory": path.display().to_string(),
        "records": records(report),
        "rings": report.rings.iter().map(|r| json!({
            "path": shown(r),
            "fate": fate(r.done.fate),
            "records": r.done.records,
            "damaged_bytes": r.done.damaged,
        })).collect::<Vec<_>>(),
        "intents": report.intents.iter().map(|i| json!({
            "log": i.log,
            "records": i.records,
            "left": i.left,
        })).collect::<Vec<_>>(),
        "left": left,
    })
}
