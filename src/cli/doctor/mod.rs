//! `logspool doctor`: where logs, spool and writer are, with which settings from where, and what is wrong. Nothing is written,
//! and no writer is disturbed.

mod directory;
mod disk;
mod process;
mod settings;

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::out::Out;
use crate::cli::{Ended, dir_argument, json_argument, resolve, spool_dir_argument, spool_dirs};

pub const EXAMPLES: &str = "Examples:
  logspool doctor                   where a program started here would log, with which settings from where
  logspool doctor logs              what stands in that directory, and what is wrong with it
  logspool doctor --pid 4711        where the running program logs, and what is wrong there";

/// What `basicConfig` would do here: the Python side knows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Configured {
    /// The log's path.
    pub path: Option<String>,
    /// Where that comes from.
    pub origin: Option<String>,
    /// Every setting, in order.
    pub settings: Vec<Setting>,
    /// What was passed over, in words.
    pub warnings: Vec<String>,
    /// What makes `basicConfig` fail.
    pub errors: Vec<String>,
}

/// A setting, its value and where that comes from.
#[derive(Clone, Debug, Deserialize)]
pub struct Setting {
    /// As the argument is called.
    pub name: String,
    /// Its value.
    pub value: String,
    /// A variable, or `default`.
    pub origin: String,
}

/// What is told: text for people, data for machines, and what is wrong.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
    data: serde_json::Map<String, Value>,
    problems: Vec<String>,
}

impl Told {
    fn line(&mut self, text: impl Into<String>) {
        self.lines.push(text.into());
    }

    fn problem(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }
}

pub fn command() -> Command {
    Command::new("doctor")
        .about("Says where logs, spool and writer are, with which settings from where, and what is wrong.")
        .arg(dir_argument())
        .arg(
            Arg::new("pid")
                .long("pid")
                .value_name("PID")
                .value_parser(value_parser!(u32).range(1..))
                .conflicts_with("dir")
                .help("Look at this running process and the directories it logs to"),
        )
        .arg(spool_dir_argument())
        .arg(json_argument())
}

pub fn run(
    matches: &ArgMatches,
    configured: Option<&Configured>,
    out: &mut Out,
) -> Result<Ended, String> {
    let mut told = Told::default();
    let mut spool_dirs = spool_dirs(matches)?;
    let mut directories = Vec::new();
    if let Some(pid) = matches.get_one::<u32>("pid") {
        directories = process::tell(*pid, &mut told)?;
    } else if let Some(given) = matches.get_one::<PathBuf>("dir") {
        directories.push(resolve(given)?.0);
    } else if let Some(configured) = configured {
        directories.extend(tell_configured(configured, &mut spool_dirs, &mut told));
    }
    let mut all = Vec::new();
    for directory in &directories {
        all.push(directory::tell(directory, &spool_dirs, &mut told)?);
    }
    told.data.insert("directories".to_owned(), all.into());
    Ok(show(told, matches.get_flag("json"), out))
}

fn show(told: Told, as_json: bool, out: &mut Out) -> Ended {
    let fine = told.problems.is_empty();
    if as_json {
        let mut data = told.data;
        data.insert("ok".to_owned(), fine.into());
        data.insert("problems".to_owned(), told.problems.into());
        out.json(&Value::Object(data));
    } else {
        for line in &told.lines {
            out.line(line);
        }
        out.line("");
        out.line(if fine {
            "No problems found"
        } else {
            "Problems"
        });
        for (n, problem) in told.problems.iter().enumerate() {
            out.line(&format!("  {}. {problem}", n + 1));
        }
    }
    if fine { Ended::Fine } else { Ended::Wrong }
}

/// What would be done here; gives the directory if it is there.
fn tell_configured(
    configured: &Configured,
    spool_dirs: &mut Vec<PathBuf>,
    told: &mut Told,
) -> Option<PathBuf> {
    told.line(
        "Configured here (arguments that a program gives to basicConfig go before all of this)",
    );
    if let (Some(path), Some(origin)) = (&configured.path, &configured.origin) {
        told.line(format!("  {:<14} {path}  [{origin}]", "log"));
    }
    for setting in &configured.settings {
        told.line(format!(
            "  {:<14} {}  [{}]",
            setting.name, setting.value, setting.origin
        ));
        if setting.name == "spool_dir" && setting.value.starts_with('/') {
            spool_dirs.push(PathBuf::from(&setting.value));
        }
    }
    for warning in configured.warnings.iter().chain(&configured.errors) {
        told.problem(warning.clone());
    }
    let settings = |s: &Setting| json!({"name": s.name, "value": s.value, "origin": s.origin});
    told.data.insert(
        "configured".to_owned(),
        json!({
            "path": configured.path,
            "origin": configured.origin,
            "settings": configured.settings.iter().map(settings).collect::<Vec<_>>(),
        }),
    );
    let directory = PathBuf::from(configured.path.as_ref()?)
        .parent()?
        .to_owned();
    if directory.is_dir() {
        told.line("");
        return Some(directory);
    }
    told.line(format!(
        "  {} is not there yet: the first start makes it",
        directory.display()
    ));
    None
}
