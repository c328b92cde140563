//! `logspool verify DIR`: proves from the files alone that no record is missing, doubled, out of order or torn, or says
//! which is. [`scan`] reads a segment, [`judge`] puts the numbers of all segments together, [`files`] compares files and
//! state, [`log_report`], [`report`] and [`output`] make sentences of it.

pub mod files;
mod judge;
mod log_report;
mod output;
mod report;
pub mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use parking_lot::Mutex;

use crate::cli::out::Out;
use crate::cli::survey::Survey;
use crate::cli::{Ended, dir_argument, directory, json_argument, spool_dir_argument, spool_dirs};
use files::Source;
use judge::Tracks;
use log_report::LogReport;
use report::Report;
use scan::{Kind, Scan};

/// How often a log is read again when numbers seem to be missing while a process writes it.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

pub const EXAMPLES: &str = "Examples:
  logspool verify logs                       all logs in the directory
  logspool verify logs --log app.jsonl       one of them; `logspool verify logs/app.jsonl` is the same
  logspool verify --complete logs            also count as missing what retention has deleted
  logspool verify --json logs | jq '.logs[] | select(.problems != [])'";

pub fn command() -> Command {
    Command::new("verify")
        .about("Proves that no record is missing, doubled, out of order or torn, or names what is.")
        .long_about(
            "Reads every segment, rotated and gzipped, and proves that each line is whole, and that the numbers (`seq`) of each \
             ring have no gap and no double and are in order. Records still in the spool, announced drops and what retention \
             deleted are told apart from what is missing. Nothing is written, and no writer is disturbed.",
        )
        .arg(dir_argument().required(true))
        .arg(
            Arg::new("log")
                .long("log")
                .value_name("NAME")
                .action(ArgAction::Append)
                .help("Only this log (its file name, such as app.jsonl); may be repeated"),
        )
        .arg(
            Arg::new("complete")
                .long("complete")
                .action(ArgAction::SetTrue)
                .help("Count records of deleted segments as missing too: from each ring's first record on"),
        )
        .arg(spool_dir_argument())
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..=256))
                .help("Segments read at the same time (default: one a processor)"),
        )
        .arg(json_argument())
}

/// What was asked for.
pub struct Options {
    pub path: PathBuf,
    pub spool_dirs: Vec<PathBuf>,
    pub logs: Vec<String>,
    pub complete: bool,
    pub threads: usize,
}

pub fn run(matches: &ArgMatches, out: &mut Out) -> Result<Ended, String> {
    let (path, log) = directory(matches)?.ok_or("which directory? logspool verify DIR")?;
    let named = matches.get_many::<String>("log");
    let options = Options {
        path,
        spool_dirs: spool_dirs(matches)?,
        logs: named.into_iter().flatten().cloned().chain(log).collect(),
        complete: matches.get_flag("complete"),
        threads: matches.get_one::<u16>("threads").map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            |n| usize::from(*n),
        ),
    };
    let started = Instant::now();
    let mut report = verify(&options)?;
    report.seconds = started.elapsed().as_secs_f64();
    if matches.get_flag("json") {
        out.json(&report.json());
    } else {
        report.show(out);
    }
    Ok(if report.is_clean() {
        Ended::Fine
    } else {
        Ended::Wrong
    })
}

fn verify(options: &Options) -> Result<Report, String> {
    let survey = Survey::of(&options.path, &options.spool_dirs)?;
    survey.require_logs()?;
    let names = chosen(&survey, &options.logs)?;
    let mut found = read(&survey, &names, options);
    let mut report = judge_all(&survey, &found, options);
    // Numbers may seem to be missing that a writer moved from one place to another between two looks.
    for _ in 1..TRIES {
        let uncertain = report.uncertain();
        if uncertain.is_empty() {
            break;
        }
        std::thread::sleep(PAUSE);
        // Only these are judged anew: spools must have been looked at before the files were read.
        let again = Survey::of(&options.path, &options.spool_dirs)?;
        let second = read(&again, &uncertain, options);
        let damage = damaged_rings(&again, found.values().chain(second.values()));
        report.replace(judge_with(&again, &second, &damage, options));
        found.extend(second);
    }
    if report.has_unexplained_gaps() && names.len() < survey.logs.len() {
        // Damage is announced in the log whose record followed it: any of the directory's.
        let others: Vec<String> = survey
            .logs
            .keys()
            .filter(|n| !names.contains(n))
            .cloned()
            .collect();
        let more = read(&survey, &others, options);
        let damage = damaged_rings(&survey, found.values().chain(more.values()));
        report.explain(&damage);
    }
    Ok(report)
}

fn chosen(survey: &Survey, wanted: &[String]) -> Result<Vec<String>, String> {
    if wanted.is_empty() {
        return Ok(survey.logs.keys().cloned().collect());
    }
    for name in wanted {
        if !survey.logs.contains_key(name) {
            let known: Vec<&str> = survey.logs.keys().map(String::as_str).collect();
            return Err(format!(
                "{} is no log of logspool in {}; there are: {}",
                name,
                survey.path.display(),
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            ));
        }
    }
    Ok(wanted.to_vec())
}

/// What was read of one log.
pub struct Read {
    pub scans: Vec<Scan>,
    pub files: files::Checked,
}

/// Reads the logs, several segments at a time.
fn read(survey: &Survey, names: &[String], options: &Options) -> BTreeMap<String, Read> {
    let mut jobs: Vec<(&String, Source)> = Vec::new();
    let mut budget = files::budget();
    for name in names {
        let Some(log) = survey.logs.get(name) else {
            continue;
        };
        jobs.extend(
            files::sources(&survey.path, name, log, &mut budget)
                .into_iter()
                .map(|s| (name, s)),
        );
    }
    // The largest first, so that no thread is left with one at the end.
    jobs.sort_by_key(|(_, source)| std::cmp::Reverse(source.bytes));
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<String, Vec<Scan>>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..options.threads.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((name, source)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(scan) = source.read() {
                        done.lock().entry((*name).clone()).or_default().push(scan);
                    }
                }
            });
        }
    });
    let mut done = done.into_inner();
    names
        .iter()
        .filter_map(|name| {
            let log = survey.logs.get(name)?;
            let mut scans = done.remove(name).unwrap_or_default();
            scans.sort_by_key(|s| s.number);
            let files = files::check(&survey.path, name, log);
            Some((name.clone(), Read { scans, files }))
        })
        .collect()
}

/// Rings of which something is known to be damaged.
fn damaged_rings<'a>(survey: &Survey, found: impl Iterator<Item = &'a Read>) -> BTreeSet<String> {
    let announced = found
        .flat_map(|r| r.scans.iter())
        .flat_map(|s| s.damage.iter());
    let kept = survey.damaged.iter().filter_map(|other| {
        let name = other.path.file_name()?.to_str()?;
        Some(name.split('.').next()?.to_owned())
    });
    let standing = survey
        .rings
        .iter()
        .filter(|r| r.look.as_ref().map_or(true, |l| l.damaged > 0))
        .filter_map(|r| Some(r.file.strip_suffix(".ring")?.to_owned()));
    announced
        .map(|d| d.ring.clone())
        .chain(kept)
        .chain(standing)
        .collect()
}

fn judge_all(survey: &Survey, found: &BTreeMap<String, Read>, options: &Options) -> Report {
    let damage = damaged_rings(survey, found.values());
    judge_with(survey, found, &damage, options)
}

fn judge_with(
    survey: &Survey,
    found: &BTreeMap<String, Read>,
    damage: &BTreeSet<String>,
    options: &Options,
) -> Report {
    let mut report = Report::new(&options.path);
    for (name, read) in found {
        report.logs.push(judge_log(survey, name, read, options));
    }
    report.rings(survey);
    report.explain(damage);
    report
}

fn judge_log(survey: &Survey, name: &str, read: &Read, options: &Options) -> LogReport {
    let mut report = LogReport::new(name, &read.scans);
    report.lines(&read.scans);
    report.files(&read.files);
    let kinds: Vec<Kind> = read.scans.iter().map(Scan::kind).collect();
    if report.is_text(&kinds) {
        return report;
    }
    let mut tracks = Tracks::default();
    for (scan, kind) in read.scans.iter().zip(&kinds) {
        if *kind == Kind::Numbered {
            for (ring, runs) in &scan.rings {
                tracks.add(*ring, runs);
            }
        }
    }
    report.spool(survey, &mut tracks, &read.files.staged);
    let retired = read.scans.first().is_some_and(|s| s.number > 1) && !options.complete;
    report.numbers(&tracks, retired);
    report
}

/// A path below the directory, as people would type it.
fn shown(path: &Path, name: &str) -> String {
    path.join(name).display().to_string()
}
