//! A log directory: its logs, spools and disk, and what is wrong there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::settings::{rotation, settings_json};
use super::{Told, disk, process};
use crate::cli::survey::{Log, Ring, State, Survey, user};
use crate::cli::verify::files;
use crate::cli::{bytes, counted, grouped, quoted};
use crate::config::LogSettings;
use crate::segment::state::peek::{self, Peek};
use crate::spool::ring::{self, name_of};

/// More rings than this do not stand in a directory that is in order.
const MANY: usize = 16;
/// A temporary file older than this was left by a process that was killed.
const STALE: u64 = 120;

/// Tells about the directory.
///
/// # Errors
/// A sentence, when it cannot be read.
pub fn tell(path: &Path, spool_dirs: &[PathBuf], told: &mut Told) -> Result<Value, String> {
    let survey = Survey::of(path, spool_dirs)?;
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    told.line(format!("Directory {}", full.display()));
    told.line(format!(
        "  {:<14} {}, mode {:04o}",
        "owner",
        user(survey.uid),
        survey.mode
    ));
    let disk = disk::tell(path, "disk", told);
    let (spool, state) = (ring::VERSION, peek::KNOWN);
    told.line(format!(
        "  {:<14} spool {spool}, state {state} are what this logspool writes",
        "formats"
    ));
    if survey.require_logs().is_err() {
        told.line("  there are no logs of logspool here yet");
    }
    owns(&survey, told);
    let logs: Vec<Value> = survey
        .logs
        .iter()
        .map(|(name, log)| tell_log(path, name, log, &survey, told))
        .collect();
    let rings: Vec<Value> = survey
        .rings
        .iter()
        .map(|r| tell_ring(r, &survey, told))
        .collect();
    spools(&survey, told);
    left_behind(&survey, told);
    Ok(json!({
        "path": full.display().to_string(),
        "owner": survey.uid,
        "mode": format!("{:04o}", survey.mode),
        "disk": disk,
        "formats": {"spool": spool, "state": state},
        "logs": logs,
        "rings": rings,
        "damaged": survey.damaged.iter().map(|o| o.path.display().to_string()).collect::<Vec<_>>(),
        "temporary": survey.temporary.iter().map(|o| o.path.display().to_string()).collect::<Vec<_>>(),
    }))
}

fn owns(survey: &Survey, told: &mut Told) {
    let me = rustix::process::geteuid().as_raw();
    for own in &survey.owns {
        let shown = own.path.display();
        told.line(format!(
            "  {:<14} {shown}, {}, mode {:04o}",
            "own files",
            user(own.uid),
            own.mode
        ));
        if own.mode & 0o077 != 0 {
            told.problem(format!(
                "{shown} can be entered by other users (mode {:04o}), and the spool in it holds records: `chmod 700 {}`.",
                own.mode,
                quoted(&own.path)
            ));
        }
        if let Some(why) = &own.closed {
            told.problem(format!(
                "{shown} belongs to {} and cannot be looked into ({why}): run this as that user, or as root.",
                user(own.uid)
            ));
        }
        if own.uid != me && me != 0 && own.closed.is_none() {
            told.problem(format!(
                "{shown} belongs to {}: programs of this user (uid {me}) would log here with {shown}.{me}/ of their own.",
                user(own.uid)
            ));
        }
    }
    if survey.owns.len() > 1 {
        told.problem(format!(
            "Programs of several users log to {}: each writes segments the others may not be able to read. Give each user a \
             directory.",
            survey.path.display()
        ));
    }
}

fn tell_log(path: &Path, name: &str, log: &Log, survey: &Survey, told: &mut Told) -> Value {
    told.line(format!("  {name}"));
    let mut numbers: Vec<u64> = log.segments.iter().map(|s| s.number).collect();
    numbers.dedup();
    let plain: Vec<u64> = log
        .segments
        .iter()
        .filter(|s| !s.gz)
        .map(|s| s.number)
        .collect();
    let gz = numbers.len() - plain.len();
    let sizes: u64 = log
        .segments
        .iter()
        .filter_map(|s| fs::metadata(path.join(s.file_name(name))).ok())
        .map(|m| m.len())
        .sum();
    let current = log.peek().map(|p| p.current);
    told.line(format!(
        "    {:<12} {} ({gz} gzipped), {} on disk{}",
        "segments",
        grouped(numbers.len() as u64),
        bytes(sizes),
        current.map_or_else(String::new, |c| format!(
            "; {:06} is written, {}",
            c.number,
            bytes(c.size)
        ))
    ));
    let settings = log.peek().and_then(|p| p.settings.clone());
    if let Some(settings) = &settings {
        told.line(format!("    {:<12} {}", "rotation", rotation(settings)));
    }
    for state in &log.states {
        tell_state(path, name, state, survey, told);
    }
    for text in files::check(path, name, log).problems {
        told.problem(format!("{}: {text}.", path.join(name).display()));
    }
    readable(path, name, log, settings.as_ref(), told);
    let pending = log
        .peek()
        .filter(|p| p.intent.is_some())
        .map(Peek::lines_staged);
    json!({
        "name": name,
        "segments": numbers.len(),
        "gzipped": gz,
        "bytes_on_disk": sizes,
        "current": current.map(|c| json!({"number": c.number, "bytes": c.size})),
        "settings": settings.as_ref().map(settings_json),
        "append_pending": pending,
        "locked": log.states.iter().any(|s| s.lock.held),
        "lock_pids": log.states.iter().flat_map(|s| s.lock.pids.clone()).collect::<Vec<_>>(),
        "users": log.states.iter().flat_map(|s| s.users.clone()).collect::<Vec<_>>(),
    })
}

fn tell_state(path: &Path, name: &str, state: &State, survey: &Survey, told: &mut Told) {
    let pids = |pids: &[u32]| {
        pids.iter()
            .map(|p| process::shown(*p))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let lock = match (state.lock.held, state.lock.pids.is_empty()) {
        (false, _) => "free".to_owned(),
        (true, true) => "held, by a process that cannot be seen from here".to_owned(),
        (true, false) => format!("held by {}", pids(&state.lock.pids)),
    };
    told.line(format!("    {:<12} {lock}", "lock"));
    if !state.users.is_empty() {
        told.line(format!("    {:<12} {}", "open in", pids(&state.users)));
    }
    let shown = path.join(name);
    for pid in &state.lock.pids {
        if let Some((_, 'T' | 't')) = process::state(*pid) {
            told.problem(format!(
                "{} is stuck: process {pid} is stopped while it holds the log's lock, so that nobody can write it. `kill -CONT {pid}` \
                 lets it go on; `kill -9 {pid}` gives the lock to the others, and nothing is lost by that.",
                shown.display()
            ));
        } else if let Some((_, 'D')) = process::state(*pid) {
            told.problem(format!(
                "{} is stuck: process {pid} holds the log's lock and waits for a disk that does not answer.",
                shown.display()
            ));
        }
    }
    if let Ok(peek) = &state.peek
        && peek.intent.is_some()
        && !state.lock.held
        && !survey.rings.iter().any(|r| r.owner.held)
    {
        told.problem(format!(
            "An append of {} to {} was left half done by a killed process: the next process that logs here completes it, or `logspool \
             recover {}`.",
            counted(peek.lines_staged(), "record"),
            shown.display(),
            quoted(path)
        ));
    }
}

/// Segments that everybody may read, where the settings do not say so.
fn readable(path: &Path, name: &str, log: &Log, settings: Option<&LogSettings>, told: &mut Told) {
    if settings.is_none_or(|s| s.file_mode & 0o004 != 0) {
        return;
    }
    let open = log.segments.iter().filter(|s| {
        fs::metadata(path.join(s.file_name(name))).is_ok_and(|m| m.mode() & 0o004 != 0)
    });
    let count = open.count();
    if count > 0 {
        told.problem(format!(
            "{} of {} can be read by every user of the machine: `chmod o-rwx {}*`, or set file_mode if that is meant.",
            counted(count as u64, "segment"),
            path.join(name).display(),
            quoted(&path.join(name))
        ));
    }
}

fn tell_ring(ring: &Ring, survey: &Survey, told: &mut Told) -> Value {
    let owner = match (ring.owner.held, ring.owner.pids.first()) {
        (true, Some(pid)) => format!("of process {}", process::shown(*pid)),
        (true, None) => "of a living process that cannot be seen from here".to_owned(),
        (false, _) => "its process is gone".to_owned(),
    };
    told.line(format!("  spool {}: {owner}", ring.shown()));
    if let Some(advice) = survey.copy_advice(ring) {
        let advice = advice.trim_start_matches("it ");
        told.problem(format!("{} {advice}", ring.shown()));
    }
    if ring.linked && !ring.owner.held {
        told.problem(format!(
            "The spool {} has another name somewhere (a hard link): nobody recovers it, as its records would be written twice. \
             Remove one of the names.",
            ring.shown()
        ));
    }
    let look = match &ring.look {
        Ok(look) => look,
        Err(why) => {
            told.problem(format!(
                "The spool {} cannot be looked into: {why}. Another user's needs that user or root; one of another format version \
                 needs the logspool that wrote it.",
                ring.shown()
            ));
            return json!({"path": ring.shown(), "alive": ring.owner.held, "error": why});
        }
    };
    told.line(format!(
        "    {:<12} {} used of {}{}",
        "room",
        bytes(look.used),
        bytes(look.capacity),
        if look.drops_oldest {
            ", drops the oldest when it is full"
        } else {
            ""
        }
    ));
    for log in &look.logs {
        told.line(format!(
            "    {:<12} {} written, {} waiting, {} to be announced",
            log.name,
            grouped(log.written),
            grouped(log.records),
            counted(log.lost.1, "drop")
        ));
    }
    if ring.owner.held && look.used > look.capacity / 10 * 9 {
        told.problem(format!(
            "The spool {} is nearly full: its process waits or drops records. Its disk is slow or full, or a log is stuck (see the \
             other problems); LOG_SPOOL_BYTES makes it larger.",
            ring.shown()
        ));
    }
    if look.damaged > 0 {
        told.problem(format!(
            "{} of the spool {} were damaged by something other than logspool; whole records are recovered all the same.",
            counted(look.damaged, "byte"),
            ring.shown()
        ));
    }
    if ring.mode & 0o077 != 0 {
        told.problem(format!(
            "The spool {} can be read by other users: `chmod 600 {}`.",
            ring.shown(),
            quoted(&ring.place.join(&ring.file))
        ));
    }
    json!({
        "path": ring.shown(),
        "ring": name_of(look.id),
        "alive": ring.owner.held,
        "pids": ring.owner.pids,
        "pid_in_header": look.pid,
        "copy_of": ring.copy_of(),
        "file_bytes": ring.size,
        "capacity_bytes": look.capacity,
        "used_bytes": look.used,
        "damaged_bytes": look.damaged,
        "drops_oldest": look.drops_oldest,
        "logs": look.logs.iter().map(|l| json!({
            "name": l.name,
            "written": l.written,
            "in_flight": l.records,
            "in_flight_bytes": l.bytes,
            "drops_unannounced": l.lost.1,
        })).collect::<Vec<_>>(),
    })
}

fn spools(survey: &Survey, told: &mut Told) {
    let orphans: Vec<&Ring> = survey.rings.iter().filter(|r| !r.owner.held).collect();
    let waiting: u64 = orphans.iter().map(|r| r.waiting()).sum();
    if waiting > 0 {
        let originals = orphans.iter().filter(|r| r.copy_of().is_none()).count();
        told.problem(format!(
            "{} of processes that are gone wait in {}: the next process that logs here writes them, or `logspool recover {}`.",
            counted(waiting, "record"),
            counted(originals as u64, "spool"),
            quoted(&survey.path)
        ));
    }
    if orphans.len() > MANY {
        told.problem(format!(
            "{} of processes that are gone stand in {}: nobody recovers them. `logspool recover {}` does, and says what stands in \
             the way.",
            counted(orphans.len() as u64, "spool"),
            survey.path.display(),
            quoted(&survey.path)
        ));
    }
}

fn left_behind(survey: &Survey, told: &mut Told) {
    for other in &survey.damaged {
        told.line(format!(
            "  damaged        {}, {}",
            other.path.display(),
            bytes(other.size)
        ));
        told.problem(format!(
            "{} is a spool that something other than logspool damaged; what was whole is in the logs (`logspool verify {}` names what \
             is missing). Look at it and delete it.",
            other.path.display(),
            quoted(&survey.path)
        ));
    }
    for other in survey.temporary.iter().filter(|o| o.age > STALE) {
        told.problem(format!(
            "{} was left by a process that was killed while it made it, {} ago: it may be deleted.",
            other.path.display(),
            match other.age {
                0..7200 => format!("{} minutes", other.age / 60),
                more => format!("{} hours", more / 3600),
            }
        ));
    }
}
