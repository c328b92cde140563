//! A running process, as `/proc` shows it: which directories it logs to, its variables, its writer thread.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Told;

/// How rings and states are named. Our own names: case matters.
const RING: &str = ".ring";
const STATE: &str = ".state";

/// Variables that settings come from, by the beginning of their names.
const OURS: [&str; 9] = [
    "LOG_",
    "LOGSPOOL_",
    "JSON_LOGS=",
    "SERVICE_NAME=",
    "OTEL_SERVICE_NAME=",
    "ENVIRONMENT=",
    "APP_VERSION=",
    "XDG_STATE_HOME=",
    "PYTHONPATH=",
];

/// The state of a process in a word, and its name; `None` when it is gone.
pub fn state(pid: u32) -> Option<(String, char)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold some itself.
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    Some((name.to_owned(), rest.trim_start().chars().next()?))
}

/// "4711 (python, stopped)".
pub fn shown(pid: u32) -> String {
    let Some((name, state)) = state(pid) else {
        return pid.to_string();
    };
    let word = match state {
        'T' | 't' => ", stopped",
        'D' => ", waiting for a disk",
        'Z' => ", a zombie",
        _ => "",
    };
    format!("{pid} ({name}{word})")
}

/// Tells about the process; gives the directories it logs to.
///
/// # Errors
/// A sentence, when it is gone or another user's.
pub fn tell(pid: u32, told: &mut Told) -> Result<Vec<PathBuf>, String> {
    let place = PathBuf::from(format!("/proc/{pid}"));
    if !place.exists() {
        return Err(format!("there is no process {pid}"));
    }
    let links = fs::read_dir(place.join("fd")).map_err(|e| {
        format!(
            "cannot look at process {pid}: {e}; run this as the user of that process, or as root"
        )
    })?;
    let mut directories = BTreeSet::new();
    let mut spools = BTreeSet::new();
    let mut gone = BTreeSet::new();
    for link in links.flatten() {
        let Ok(target) = fs::read_link(link.path()) else {
            continue;
        };
        let text = target.to_string_lossy().into_owned();
        let path = text.trim_end_matches(" (deleted)");
        let deleted = path.len() < text.len();
        if path.ends_with(RING) || (path.ends_with(STATE) && path.contains("/.logspool")) {
            if deleted {
                gone.insert(path.to_owned());
                continue;
            }
            let seen = visible(pid, Path::new(path), &link.path());
            let parent = seen.parent().map(Path::to_path_buf).unwrap_or_default();
            if path.ends_with(RING) {
                spools.insert(seen);
            }
            if parent
                .file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(".logspool"))
            {
                directories.extend(parent.parent().map(Path::to_path_buf));
            }
        }
    }
    let variables: Vec<String> = fs::read(place.join("environ"))
        .unwrap_or_default()
        .split(|b| *b == 0)
        .map(|v| String::from_utf8_lossy(v).into_owned())
        .filter(|v| OURS.iter().any(|name| v.starts_with(name)))
        .collect();
    let threads = threads(&place);
    let writer = threads.iter().any(|t| t == "logspool-writer");
    told.line(format!("Process {}", shown(pid)));
    told.line(format!(
        "  {:<14} {}",
        "writer",
        if writer { "running" } else { "not running" }
    ));
    for spool in &spools {
        told.line(format!("  {:<14} {}", "spool", spool.display()));
    }
    // With its state a whole directory is gone, which the next record makes again; a spool alone is not missed.
    let directory_gone = gone.iter().any(|path| path.ends_with(STATE));
    for path in &gone {
        told.line(format!("  {:<14} {path}", "deleted"));
    }
    if directory_gone {
        told.line("  the next record makes its directory again, and logging goes on there");
    } else if let Some(path) = gone.first().filter(|_| spools.is_empty()) {
        told.problem(format!(
            "Process {pid} has {path} open, which is deleted: logging goes on, but records that wait in it do not survive a kill. \
             Restart it."
        ));
    }
    for variable in &variables {
        told.line(format!("  {:<14} {variable}", "variable"));
    }
    if directories.is_empty() && spools.is_empty() && gone.is_empty() {
        told.problem(format!(
            "Process {pid} has no log of logspool open: it has not called logspool.basicConfig, or has ended its logging."
        ));
    } else if !writer {
        told.problem(format!(
            "The writer thread of process {pid} is not running: right after a fork, or in a process that logs nothing, that is as \
             it should be (it starts with the next record); else records wait in the spool until the process ends."
        ));
    }
    if let Some((_, 'T' | 't')) = state(pid) {
        told.problem(format!(
            "Process {pid} is stopped: its records wait in its spool. `kill -CONT {pid}` lets it go on."
        ));
    }
    let list = |paths: &BTreeSet<PathBuf>| -> Vec<String> {
        paths.iter().map(|p| p.display().to_string()).collect()
    };
    told.data.insert(
        "process".to_owned(),
        json!({
            "pid": pid,
            "writer_running": writer,
            "threads": threads,
            "spools": list(&spools),
            "deleted": gone,
            "environment": variables,
        }),
    );
    told.line("");
    Ok(directories.into_iter().collect())
}

/// The path as this process can open it: below `/proc/PID/root` where the other one sees another tree.
fn visible(pid: u32, path: &Path, link: &Path) -> PathBuf {
    let same = |a: &Path| {
        let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(link)) else {
            return false;
        };
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    };
    if same(path) {
        return path.to_owned();
    }
    let below =
        PathBuf::from(format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap_or(path));
    if same(&below) { below } else { path.to_owned() }
}

fn threads(place: &Path) -> Vec<String> {
    let tasks = fs::read_dir(place.join("task"));
    let mut names: Vec<String> = tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|t| fs::read_to_string(t.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with("logspool-"))
        .collect();
    names.sort();
    names
}
