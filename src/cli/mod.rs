//! The `logspool` command: [`recover`] finishes what dead processes left, [`verify`] proves that nothing is missing,
//! [`doctor`] says where everything is and what is wrong, [`redact`] what would not be logged of a text. Only `recover` writes; the others lock nothing that could
//! disturb a writer, and map nothing.

mod doctor;
mod held;
mod out;
mod recover;
mod redact;
mod survey;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::console::sanitise;
use out::Out;

pub use doctor::{Configured, Setting};

/// How a command ended, as an exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Everything is as it should be.
    Fine = 0,
    /// Something is wrong, and was said.
    Wrong = 1,
    /// The command could not be done as it was asked.
    Usage = 2,
}

/// Runs the command with `arguments` (the program's name first); gives its exit status. `configured` is what
/// `basicConfig` would do here, for `doctor`.
pub fn main<I>(arguments: I, configured: Option<&Configured>) -> i32
where
    I: IntoIterator<Item = OsString>,
{
    let mut out = Out::new();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let ended = match command().try_get_matches_from(&arguments) {
        Ok(matches) => run(&matches, configured, &mut out),
        Err(e) if e.use_stderr() => {
            out.errors(&unbroken(e.to_string().trim_end(), &arguments));
            Ended::Usage
        }
        Err(e) => {
            out.text(&e.to_string());
            Ended::Fine
        }
    };
    if out.failed() { 1 } else { ended as i32 }
}

/// What clap says about arguments, which it quotes as they are, with each of them on one line.
fn unbroken(said: &str, arguments: &[OsString]) -> String {
    let mut said = said.to_owned();
    for argument in arguments.iter().map(|a| a.to_string_lossy()) {
        for part in [
            Some(&*argument),
            argument.split_once('=').map(|(_, value)| value),
        ] {
            if let Some(part) = part.filter(|part| part.contains('\n')) {
                said = said.replace(part, &sanitise::one_line(part));
            }
        }
    }
    said
}

fn run(matches: &ArgMatches, configured: Option<&Configured>, out: &mut Out) -> Ended {
    let done = match matches.subcommand() {
        Some(("recover", m)) => recover::run(m, out),
        Some(("verify", m)) => verify::run(m, out),
        Some(("redact", m)) => redact::run(m, out),
        Some(("doctor", m)) => doctor::run(m, configured, out),
        _ => Err("no such command".to_owned()),
    };
    done.unwrap_or_else(|message| {
        out.error(&format!("logspool: {message}"));
        Ended::Usage
    })
}

const STATUS: &str =
    "Exit status: 0 fine, 1 something is wrong (and was said), 2 the command could not be run.";

fn command() -> Command {
    Command::new("logspool")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Looks after the logs that logspool writes: recover, verify, doctor, redact.")
        .after_help(format!(
            "Examples:\n  logspool verify logs              prove that no record is missing, doubled or torn\n  logspool \
             recover logs             write what killed processes left in the spool\n  logspool doctor                   \
             where logs would go here, and what is wrong\n  logspool doctor --pid 4711        the same of a running \
             program\n\n{STATUS}"
        ))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(recover::command().after_help(format!("{}\n\n{STATUS}", recover::EXAMPLES)))
        .subcommand(verify::command().after_help(format!("{}\n\n{STATUS}", verify::EXAMPLES)))
        .subcommand(redact::command().after_help(format!("{}\n\n{STATUS}", redact::EXAMPLES)))
        .subcommand(doctor::command().after_help(format!("{}\n\n{STATUS}", doctor::EXAMPLES)))
}

fn dir_argument() -> Arg {
    Arg::new("dir")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("The directory of the logs, or the path of a log in it")
}

fn spool_dir_argument() -> Arg {
    Arg::new("spool-dir")
        .long("spool-dir")
        .value_name("PATH")
        .action(ArgAction::Append)
        .value_parser(value_parser!(PathBuf))
        .help("Look for spools there too: what the programs have as spool_dir (LOG_SPOOL_DIR). `shm` needs no mention")
}

fn json_argument() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("One JSON object on standard output, for machines")
}

fn paths(matches: &ArgMatches, name: &str) -> Vec<PathBuf> {
    matches
        .get_many::<PathBuf>(name)
        .map(|found| found.cloned().collect())
        .unwrap_or_default()
}

/// What was given as `--spool-dir`.
///
/// # Errors
/// A sentence, where one is no directory: what waits in the one that was meant would not be seen.
fn spool_dirs(matches: &ArgMatches) -> Result<Vec<PathBuf>, String> {
    let mut given = paths(matches, "spool-dir");
    given.retain(|path| path.as_os_str() != "shm"); // Looked at anyway.
    for path in &given {
        let wrong = match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => continue,
            Ok(_) => "it is not a directory".to_owned(),
            Err(e) => e.to_string(),
        };
        return Err(format!(
            "cannot look into --spool-dir {}: {wrong}; give what the programs have as spool_dir (LOG_SPOOL_DIR)",
            path.display()
        ));
    }
    Ok(given)
}

/// A path as a shell takes it.
fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else if text.contains(sanitise::is_control) {
        let text = text.replace('\\', r"\\").replace('\'', r"\'");
        format!("$'{}'", sanitise::one_line(&text))
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What was given as DIR: a directory, or a log in one (its name comes along).
///
/// # Errors
/// A sentence, where it is neither.
fn directory(matches: &ArgMatches) -> Result<Option<(PathBuf, Option<String>)>, String> {
    let Some(given) = matches.get_one::<PathBuf>("dir") else {
        return Ok(None);
    };
    resolve(given).map(Some)
}

fn resolve(given: &std::path::Path) -> Result<(PathBuf, Option<String>), String> {
    match std::fs::metadata(given) {
        Ok(found) if found.is_dir() => Ok((given.to_owned(), None)),
        Ok(_) => {
            let name = given
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            let parent = match given.parent() {
                Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
                _ => PathBuf::from("."),
            };
            Ok((parent, Some(name)))
        }
        Err(e) => Err(format!(
            "cannot open {}: {e}; give the directory that holds the logs",
            given.display()
        )),
    }
}

/// "1 record", "2 records".
fn counted(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(n))
}

/// 1234567 → 1,234,567.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people.
#[allow(clippy::cast_precision_loss)] // Two digits are shown.
fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", n as f64 / 1_073_741_824.0),
    }
}
