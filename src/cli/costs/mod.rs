//! `logspool costs DIR`: what the calls of language models cost, by model, tier, tool or day: to the last digit. [`mod@line`] reads a record, [`table`] adds up.

mod line;
mod table;

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;

use super::moment::moment;
use super::{Ended, counted, dir_argument, directory, json_argument};
use crate::cli::out::Out;
use crate::segment::naming::{gz_name, list, segment_name};
use table::{By, Table};

/// The log that `log_cost` writes where nobody names another.
const COSTS: &str = "openrouter-costs.jsonl";
const BUFFER: usize = 128 << 10;
/// A longer line is none of ours (1 MiB at most).
const LONGEST: u64 = 8 << 20;

pub const EXAMPLES: &str = "Examples:
  logspool costs logs                                    by model, what cost most first
  logspool costs --by day,tier logs                      day by day, and in each by tier
  logspool costs --by tool --since 2026-11-01 logs       since then; also 30m, 2h, 1d
  logspool costs logs/my-costs.jsonl                     a log of another name (cost_filename)
  logspool costs --json logs | jq -r '.rows[] | [.model, .cost] | @tsv'";

pub fn command() -> Command {
    let time = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("TIME").help(help)
    };
    Command::new("costs")
        .about("Adds up what the calls of language models cost.")
        .long_about(
            "Reads the cost log, rotated and gzipped segments too, and adds up calls, tokens and costs, to the last digit. Days are those of UTC. \
             `unknown` counts calls whose cost is not known: it is not taken for 0. Nothing is written.",
        )
        .arg(dir_argument().required(true))
        .arg(
            Arg::new("by")
                .long("by")
                .value_name("WHAT")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .value_parser(PossibleValuesParser::new(By::NAMES))
                .help("What to tell apart; several with commas between (default: model)"),
        )
        .arg(time("since", "Only calls from this moment on: 2026-11-21, 2026-11-21T10:30:00Z, or 30m, 2h, 1d ago"))
        .arg(time("until", "Only calls before this moment"))
        .arg(json_argument())
}

pub fn run(matches: &ArgMatches, out: &mut Out) -> Result<Ended, String> {
    let (path, log) = directory(matches)?.ok_or("which directory? logspool costs DIR")?;
    let now = Timestamp::now();
    let time = |name: &str| {
        let given = matches.get_one::<String>(name);
        let found = given.map(|text| moment(text, now).map_err(|e| format!("--{name}: {e}")));
        found.transpose()
    };
    let (since, until) = (time("since")?, time("until")?);
    let named = matches.get_many::<String>("by").into_iter().flatten();
    let mut by: Vec<By> = named.filter_map(|name| By::named(name)).collect();
    if by.is_empty() {
        by.push(By::Model);
    }
    let mut table = Table::new(by);
    let (mut skipped, mut wrong) = (0, Vec::new());
    read(&path, log.as_deref().unwrap_or(COSTS), &mut wrong, |line| {
        let Some(call) = line::read(line) else {
            skipped += 1;
            return;
        };
        if since.is_none_or(|since| call.at.is_some_and(|at| at >= since))
            && until.is_none_or(|until| call.at.is_some_and(|at| at < until))
        {
            table.add(&call);
        }
    })?;
    if matches.get_flag("json") {
        let mut data = table.json();
        let mut tell = |name: &str, value: serde_json::Value| data.insert(name.to_owned(), value);
        tell("since", since.map(|t| t.to_string()).into());
        tell("until", until.map(|t| t.to_string()).into());
        tell("other_lines", skipped.into());
        tell("problems", wrong.clone().into());
        out.json(&data.into());
    } else {
        table.show(out);
    }
    if skipped > 0 && !matches.get_flag("json") {
        let lines = counted(skipped, "line");
        out.error(&format!("{lines} passed over: of another kind than costs"));
    }
    for problem in &wrong {
        out.error(&format!("PROBLEM {problem}"));
    }
    Ok(if wrong.is_empty() {
        Ended::Fine
    } else {
        Ended::Wrong
    })
}

/// Reads every whole line of a log, oldest segment first; says what cannot be read.
fn read(
    dir: &Path,
    name: &str,
    wrong: &mut Vec<String>,
    mut each: impl FnMut(&[u8]),
) -> Result<(), String> {
    let listed = File::open(dir).and_then(|fd| list(fd.as_fd(), name));
    let listed = listed.map_err(|e| format!("cannot read {}: {e}", dir.display()))?;
    let mut numbers: Vec<u64> = listed.iter().map(|segment| segment.number).collect();
    numbers.dedup();
    let mut files: Vec<Option<u64>> = numbers.into_iter().map(Some).collect();
    if files.is_empty() {
        // From before logspool: no segment of it yet.
        if !dir.join(name).is_file() {
            return Err(format!(
                "there is no cost log {} in {}; give the path of one that has another name (cost_filename)",
                name,
                dir.display()
            ));
        }
        files.push(None);
    }
    for number in files {
        let file = number.map_or_else(|| name.to_owned(), |number| segment_name(name, number));
        let mut done = File::open(dir.join(&file)).and_then(|file| lines(file, &mut each));
        if let (Err(e), Some(number)) = (&done, number)
            && e.kind() == ErrorKind::NotFound
        {
            // The compressed one is there before the plain one goes.
            done = File::open(dir.join(gz_name(name, number))).and_then(|file| {
                lines(
                    MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file)),
                    &mut each,
                )
            });
        }
        match done {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                wrong.push(format!("{}: {e}", dir.join(file).display()));
            }
            _ => {} // Read, or deleted meanwhile as the oldest.
        }
    }
    Ok(())
}

/// Calls `each` with every line but a last one that is not ended: its append is under way.
fn lines(from: impl Read, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut from = BufReader::with_capacity(BUFFER, from);
    let mut line = Vec::new();
    let mut passing = false;
    loop {
        line.clear();
        from.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        if !whole {
            if (line.len() as u64) < LONGEST {
                return Ok(());
            }
            passing = true; // The middle of something that is no line of ours.
        } else if !std::mem::take(&mut passing) {
            each(&line);
        }
    }
}
