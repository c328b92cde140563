//! Processes of the crash model: the real ring, drain, state, store and recovery, several times over in one thread, on a
//! directory in memory. What tells processes apart is what tells them apart to the kernel: their open files.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use logspool::config::{LogSettings, SpoolPlace, SpoolSettings, WhenFull};
use logspool::failpoint::{self, crash};
use logspool::segment::dir::LogDir;
use logspool::segment::retain;
use logspool::spool::place;
use logspool::spool::producer::{Appended, Caller, Spool};
use logspool::spool::ring::{self, Ring};
use logspool::writer::{Shared, source};

use crate::oracle::{Call, FOREIGN, Ledger};

/// A caller with nothing to let go of.
pub struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

/// How the processes of a scenario are configured.
#[derive(Clone)]
pub struct Setting {
    pub log: LogSettings,
    pub ring: u64,
    /// Bytes of the ring that have space at first.
    pub first: u64,
    pub when_full: WhenFull,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            log: LogSettings {
                max_bytes: 0,
                backup_count: 0,
                gzip: false,
                ..LogSettings::default()
            },
            ring: 8 << 10,
            first: u64::MAX,
            when_full: WhenFull::Block,
        }
    }
}

/// One process. Dropping it is what the kernel does when it is killed: descriptors are closed.
pub struct Process {
    pub shared: Arc<Shared>,
    pub spool: Arc<Spool>,
    logs: Vec<&'static str>,
}

/// The directory, its processes, and what they were told.
pub struct World {
    root: tempfile::TempDir,
    pub setting: Setting,
    pub processes: Vec<Option<Process>>,
    pub ledger: Ledger,
    acting: usize,
    held: Option<std::fs::File>,
}

impl World {
    pub fn new(setting: &Setting) -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        Self {
            root: root.expect("a scratch directory"),
            setting: setting.clone(),
            processes: Vec::new(),
            ledger: Ledger::default(),
            acting: 0,
            held: None,
        }
    }

    /// The log directory.
    pub fn logs(&self) -> PathBuf {
        self.root.path().join("logs")
    }

    /// Starts a process that logs to `logs` and spools beside them.
    pub fn start(&mut self, logs: &[&'static str]) -> usize {
        self.start_at(SpoolPlace::BesideLogs, logs)
    }

    /// The same, with its ring in place `n` elsewhere.
    pub fn start_elsewhere(&mut self, n: usize, logs: &[&'static str]) -> usize {
        let path = self.root.path().join(format!("elsewhere-{n}"));
        self.start_at(SpoolPlace::Directory(path.display().to_string()), logs)
    }

    /// As the engine opens a log: the directory, the ring, what dead processes left, the log's own state.
    fn start_at(&mut self, at: SpoolPlace, logs: &[&'static str]) -> usize {
        let number = self.processes.len();
        self.processes.push(None);
        self.acting = number;
        let settings = SpoolSettings {
            bytes: self.setting.ring,
            place: at,
            when_full: self.setting.when_full,
            block_timeout: Some(Duration::ZERO),
            queue_max: None,
        };
        let shared = Arc::new(Shared::default());
        // No thread of its own: everything happens here and now.
        shared.janitor.stop(Instant::now());
        let dir = Arc::new(LogDir::open(&self.logs(), self.setting.log.dir_mode).unwrap());
        let place = place::open(&dir, &settings.place).unwrap();
        let ring = Ring::create(place.as_fd(), settings.bytes, self.setting.first).unwrap();
        self.ledger.begin(number, ring.id());
        let spool = Arc::new(Spool::new(
            ring,
            dir,
            place,
            settings,
            Arc::clone(&shared.waker),
        ));
        shared.adopt(&spool.dir, spool.place.as_fd(), &mut spool.stores.lock());
        for name in logs {
            spool.enter(name, &self.setting.log).unwrap();
            spool
                .stores
                .lock()
                .prepare(name, &self.setting.log, source(&spool))
                .unwrap();
        }
        self.processes[number] = Some(Process {
            shared,
            spool,
            logs: logs.to_vec(),
        });
        number
    }

    fn act(&mut self, process: usize) -> &Process {
        self.acting = process;
        self.processes[process].as_ref().expect("it lives")
    }

    /// Appends the next record of `process` to `log`, of about `len` bytes.
    pub fn append(&mut self, process: usize, log: &'static str, len: usize) -> Appended {
        let n = self.ledger.calls.len();
        let mut line = Ledger::line(n, len);
        self.ledger.calls.push(Call {
            process,
            log,
            outcome: None,
            len: line.len(),
        });
        let it = self.act(process);
        let slot = it.logs.iter().position(|l| *l == log).expect("it is open");
        let outcome = it.spool.append(slot, &mut line, true, false, &mut Plain);
        self.ledger.calls[n].outcome = Some(outcome);
        outcome
    }

    /// Appends one record of each of these lengths.
    pub fn append_all(&mut self, process: usize, log: &'static str, lens: &[usize]) {
        for len in lens {
            self.append(process, log, *len);
        }
    }

    /// One round of the writer thread.
    pub fn drain(&mut self, process: usize) {
        let it = self.act(process);
        it.shared.drain(&it.spool);
    }

    /// Looks for what dead processes left, as the writer thread does every 30 s.
    pub fn adopt(&mut self, process: usize) {
        let it = self.act(process);
        it.shared.adopt(
            &it.spool.dir,
            it.spool.place.as_fd(),
            &mut it.spool.stores.lock(),
        );
    }

    /// Compression and retention of `log`.
    pub fn maintain(&mut self, process: usize, log: &str, backup_count: u64) {
        let it = self.act(process);
        let mut stores = it.spool.stores.lock();
        let current = stores
            .iter_mut()
            .find(|s| s.name() == log)
            .map_or(0, |s| s.segment_number());
        let options = retain::Options {
            backup_count,
            gzip: true,
            file_mode: 0o600,
            level: 1,
            keep_from: None,
            checkpoint: &|| false,
            on_step: None,
        };
        let dir = &it.spool.dir;
        let done = retain::maintain(dir.fd(), dir.own(), log, current, &options).unwrap();
        assert_eq!(done.last_error, None);
    }

    /// An orderly end, as the engine's `shutdown`.
    pub fn shut_down(&mut self, process: usize) {
        let it = self.act(process);
        it.shared.drain(&it.spool);
        if it.spool.close() && !it.spool.has_unannounced() {
            failpoint::step();
            std::fs::remove_file(it.ring_path()).unwrap();
        }
        self.kill(process);
    }

    /// Has another program append to the segment `log` points at, where no line is torn just now.
    pub fn meddle(&mut self, log: &str) {
        use std::io::Write;
        let path = self.logs().join(log);
        if std::fs::read(&path).is_ok_and(|text| text.ends_with(b"\n")) {
            let mut file = std::fs::File::options().append(true).open(path).unwrap();
            file.write_all(FOREIGN).unwrap();
            self.ledger.foreign += 1;
        }
    }

    /// Has somebody else, who is stopped perhaps, hold the lock of `log`.
    pub fn hold(&mut self, log: &str) {
        let file = std::fs::File::open(self.logs().join(format!(".logspool/{log}.state"))).unwrap();
        file.lock().unwrap();
        self.held = Some(file);
    }

    /// Frees it.
    pub fn release(&mut self) {
        self.held = None;
    }

    /// A kill between two operations.
    pub fn kill(&mut self, process: usize) {
        crash::bury(self.processes[process].take());
    }

    /// Buries the process that has just crashed.
    pub fn bury_the_dead(&mut self) {
        self.kill(self.acting);
    }

    /// The processes that live.
    pub fn living(&self) -> Vec<usize> {
        (0..self.processes.len())
            .filter(|p| self.processes[*p].is_some())
            .collect()
    }

    /// What does not add up in a living process that has written everything.
    pub fn faults_of(&self, process: usize) -> Vec<String> {
        let Some(it) = &self.processes[process] else {
            return Vec::new();
        };
        let totals = it.spool.totals();
        let mut faults = Vec::new();
        if totals.in_flight != 0 || it.spool.head() != it.spool.ring.tail() {
            faults.push(format!("process {process} has written all, and {totals:?}"));
        }
        let dropped = self.ledger.of(process, Appended::Dropped) as u64;
        if totals.dropped_newest != dropped {
            faults.push(format!(
                "process {process} dropped {dropped}, and {totals:?}"
            ));
        }
        faults
    }

    /// Files that should not be there any more once everything is recovered.
    pub fn leftovers(&self) -> Vec<String> {
        let living: Vec<_> = self
            .living()
            .into_iter()
            .filter_map(|p| Some(self.processes[p].as_ref()?.ring_path()))
            .collect();
        let mut left = Vec::new();
        for place in walk(self.root.path()) {
            let name = place.file_name().unwrap().to_string_lossy().into_owned();
            // A ring that was being made may be somebody's for a minute.
            let left_over = match name.rsplit_once('.') {
                Some((rest, "tmp")) => !rest.contains(".ring"),
                Some((_, "ring")) => !living.contains(&place),
                Some((_, "damaged")) => true,
                _ => false,
            };
            if left_over {
                left.push(name);
            }
        }
        left
    }
}

impl Process {
    fn ring_path(&self) -> PathBuf {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&self.spool.place);
        let place = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        place.join(ring::file_name(self.spool.ring.id()))
    }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}
