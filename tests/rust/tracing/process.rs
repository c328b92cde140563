//! Programs that are killed, fork, panic, or end.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use logspool::tracing::{builder, flush};
use tracing::{info, info_span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

use crate::{Logged, layer_in, lines, logged, written};

/// What a child of these tests is to do, and where.
const ROLE: &str = "LOGSPOOL_TEST_ROLE";
const PLACE: &str = "LOGSPOOL_TEST_PLACE";

/// This program again, in a role; of the environment nothing that would have a say.
pub fn child(role: &str, place: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process::a_child", "--ignored", "--nocapture"]);
    for (name, _) in std::env::vars() {
        let speaks = ["LOG", "RUST_LOG", "SERVICE", "OTEL", "ENVIRONMENT", "APP_"];
        if speaks.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.env(ROLE, role).env(PLACE, place).current_dir(place);
    command
}

/// Runs a child that must end well.
pub fn ended_well(command: &mut Command) -> String {
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    said
}

#[test]
#[ignore = "run by the tests as a process of its own"]
fn a_child() {
    let place = std::env::var(PLACE).unwrap();
    match std::env::var(ROLE).unwrap().as_str() {
        "init" => {
            let guard = builder().init().unwrap_or_else(|error| panic!("{error}"));
            tracing::trace!("trace of the program");
            tracing::debug!("debug of the program");
            info!(target: "library", "info of a library");
            tracing::warn!(target: "library", "warn of a library");
            log::warn!("by log");
            for number in 0..20 {
                tracing::warn!(number, "warn");
            }
            assert!(
                builder()
                    .filename(format!("{place}/second.jsonl"))
                    .init()
                    .is_err()
            );
            drop(guard);
        }
        "kill" => {
            let (layer, guard) = layer_in(Path::new(&place), |s| s);
            std::mem::forget(guard);
            tracing::subscriber::with_default(registry().with(layer), || {
                for number in 0..500 {
                    info!(number, "accepted");
                }
                rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                )
                .unwrap();
            });
        }
        "verify" => {
            let arguments = ["logspool", "verify", place.as_str()].map(std::ffi::OsString::from);
            std::process::exit(logspool::cli::main(arguments, None));
        }
        "many" => {
            let (layer, _guard) = layer_in(Path::new(&place), |s| s.max_bytes(64 << 10));
            tracing::subscriber::with_default(registry().with(layer), || {
                for number in 0..3_000 {
                    info!(number, "together");
                }
            });
        }
        "within" => {
            let _guard = builder().init().unwrap();
            let _entered = info_span!("around", value = ?Logs).entered();
            info!(value = ?Logs, "outer");
        }
        "exit" => {
            let (layer, _guard) = layer_in(Path::new(&place), |s| s);
            tracing::subscriber::with_default(registry().with(layer), || {
                for number in 0..500 {
                    info!(number, "accepted");
                }
            });
        }
        role => panic!("{role}"),
    }
}

/// The numbers that were written, in order.
fn numbers(dir: &Path) -> Vec<u64> {
    written(dir)
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|record| record["fields"]["number"].as_u64())
        .collect()
}

#[test]
fn what_an_event_has_said_survives_a_kill() {
    use std::os::unix::process::ExitStatusExt;
    let dir = tempfile::tempdir().unwrap();
    let ended = child("kill", dir.path()).output().unwrap();
    assert_eq!(
        ended.status.signal(),
        Some(9),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let (_layer, _guard) = layer_in(dir.path(), |s| s);
    assert!(flush(Some(Duration::from_secs(30))));
    assert_eq!(numbers(dir.path()), (0..500).collect::<Vec<_>>());
}

#[test]
fn the_guard_waits_until_everything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    ended_well(&mut child("exit", dir.path()));
    assert_eq!(numbers(dir.path()), (0..500).collect::<Vec<_>>());
}

#[test]
#[allow(unsafe_code)]
fn a_forked_child_logs_with_a_spool_of_its_own() {
    let log = Logged::new(|s| s);
    tracing::dispatcher::with_default(&log.dispatch, || {
        info!(who = "parent", "before");
        // SAFETY: the child logs, waits for that to be written, and ends without running anything of the test harness.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let _entered = info_span!("forked").entered();
            for number in 0..100 {
                info!(number, who = "child", "after");
            }
            let code = i32::from(!flush(Some(Duration::from_secs(20))));
            // SAFETY: as above.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        info!(who = "parent", "after");
    });
    let lines = lines(log.dir.path());
    assert_eq!(numbers(log.dir.path()), (0..100).collect::<Vec<_>>());
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("\"parent\""))
            .count(),
        2
    );
    let parent = format!("\"pid\":{}", std::process::id());
    assert_eq!(
        lines.iter().filter(|line| line.contains(&parent)).count(),
        2
    );
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("a Debug that panics");
    }
}

struct Fails;

impl fmt::Display for Fails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("so far")?;
        Err(fmt::Error)
    }
}

struct Logs;

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("within");
        f.write_str("Logs")
    }
}

#[test]
fn an_event_never_fails_into_the_program() {
    let records = logged(|| {
        info!(value = ?Panics, other = %Fails, last = 1, "hostile");
        info_span!("hostile", value = ?Panics).in_scope(|| info!("in a span"));
    });
    assert_eq!(records[0]["fields"]["value"], "<its formatting panicked>");
    assert_eq!(
        records[0]["fields"]["other"],
        "so far<its formatting failed>"
    );
    assert_eq!(records[0]["fields"]["last"], 1);
    assert_eq!(records[1]["fields"]["value"], "<its formatting panicked>");
}

#[test]
fn a_value_may_log_while_it_is_formatted() {
    // `tracing` lets that happen under the subscriber of the whole program alone.
    let dir = tempfile::tempdir().unwrap();
    ended_well(child("within", dir.path()).env("LOG_PATH", dir.path().join("app.jsonl")));
    let records: Vec<serde_json::Value> = written(dir.path())
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = records
        .iter()
        .map(|r| r["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["within", "within", "outer"]);
    assert_eq!(records[2]["fields"]["value"], "Logs");
    assert_eq!(records[2]["fields"]["span"]["value"], "Logs");
}

#[test]
fn a_full_spool_holds_the_program_up_and_loses_nothing() {
    let log = Logged::new(|s| s.spool_bytes(64 << 10));
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let dispatch = log.dispatch.clone();
            std::thread::spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    for number in 0..5_000 {
                        info!(number = thread * 5_000 + number, "flood");
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    lines(log.dir.path());
    let mut all = numbers(log.dir.path());
    all.sort_unstable();
    assert_eq!(all, (0..20_000).collect::<Vec<_>>());
}

#[test]
fn many_programs_write_one_log_and_the_command_proves_it_whole() {
    let dir = tempfile::tempdir().unwrap();
    let programs: Vec<_> = (0..3)
        .map(|_| {
            child("many", dir.path())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut program in programs {
        assert!(program.wait().unwrap().success());
    }
    let mut all = numbers(dir.path());
    all.sort_unstable();
    let expected: Vec<_> = (0..3_000).flat_map(|number| [number; 3]).collect();
    assert_eq!(all, expected);
    let proof = child("verify", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&proof.stdout);
    assert!(proof.status.success(), "{said}");
    assert!(
        said.contains("9,000 records") || said.contains("9000 records"),
        "{said}"
    );
}

#[test]
fn what_is_logged_after_the_guard_has_gone_is_written_too() {
    let dir = tempfile::tempdir().unwrap();
    let (layer, guard) = layer_in(dir.path(), |s| s);
    tracing::subscriber::with_default(registry().with(layer), || {
        info!(number = 1, "before");
        drop(guard);
        info!(number = 2, "after");
    });
    assert!(flush(Some(Duration::from_secs(30))));
    assert_eq!(numbers(dir.path()), [1, 2]);
}
