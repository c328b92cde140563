//! What stands in a log directory: logs, states, segments, rings. Looked at, never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::cli::held::{Held, Locks};
use crate::cli::quoted;
use crate::config::SpoolPlace;
use crate::segment::dir::OWN_DIR;
use crate::segment::naming::{self, Segment};
use crate::segment::state::peek::{self, Peek};
use crate::spool::place;
use crate::spool::ring;
use crate::spool::ring::look::{self, Look};
use crate::spool::salvage::is_id;

/// A ring file.
pub struct Ring {
    pub place: PathBuf,
    pub file: String,
    pub uid: u32,
    pub mode: u32,
    pub size: u64,
    /// Who holds its lock: its owner lives, or somebody drains it.
    pub owner: Held,
    /// It has another name somewhere.
    pub linked: bool,
    /// What is in it, or why that cannot be seen.
    pub look: Result<Box<Look>, String>,
}

impl Ring {
    pub fn shown(&self) -> String {
        self.place.join(&self.file).display().to_string()
    }

    /// The file name of the dead ring that this is a copy of: its records are that one's. As [`crate::spool::salvage::open`]
    /// judges.
    pub fn copy_of(&self) -> Option<String> {
        let look = self.look.as_ref().ok().filter(|_| !self.owner.held)?;
        let named = |id: [u8; 8]| self.file == ring::file_name(id);
        let copied = is_id(look.id) && !named(look.id) && look.author.is_none_or(|id| !named(id));
        copied.then(|| ring::file_name(look.id))
    }

    /// Records that are not in segments.
    pub fn waiting(&self) -> u64 {
        self.look
            .as_ref()
            .ok()
            .filter(|_| self.copy_of().is_none())
            .map_or(0, |l| l.logs.iter().map(|w| w.records).sum())
    }
}

/// A log's state file.
pub struct State {
    pub own: PathBuf,
    pub lock: Held,
    /// Processes that have the log open, of those that can be seen.
    pub users: Vec<u32>,
    pub peek: Result<Box<Peek>, String>,
}

/// A log: its state files (one, but for a `.logspool.<uid>/` beside), and its segments.
#[derive(Default)]
pub struct Log {
    pub states: Vec<State>,
    pub segments: Vec<Segment>,
    /// Whether a ring speaks of it.
    pub in_rings: bool,
}

impl Log {
    /// The state that can be understood.
    pub fn peek(&self) -> Option<&Peek> {
        self.states.iter().find_map(|s| s.peek.as_deref().ok())
    }
}

/// Another file in one of our own directories.
pub struct Other {
    pub path: PathBuf,
    pub size: u64,
    /// Seconds since it was changed.
    pub age: u64,
}

/// A directory of ours beside the logs.
pub struct Own {
    pub path: PathBuf,
    pub uid: u32,
    pub mode: u32,
    /// Why it cannot be looked into.
    pub closed: Option<String>,
}

/// What stands in a log directory.
pub struct Survey {
    pub path: PathBuf,
    pub uid: u32,
    pub mode: u32,
    pub owns: Vec<Own>,
    pub logs: BTreeMap<String, Log>,
    pub rings: Vec<Ring>,
    pub damaged: Vec<Other>,
    pub temporary: Vec<Other>,
}

impl Survey {
    /// Looks at the directory, at its place in shared memory and below `spool_dirs`.
    ///
    /// # Errors
    /// A sentence, when the directory cannot be read.
    pub fn of(path: &Path, spool_dirs: &[PathBuf]) -> Result<Self, String> {
        let cannot = |e: std::io::Error| format!("cannot read {}: {e}", path.display());
        let meta = std::fs::metadata(path).map_err(cannot)?;
        if !meta.is_dir() {
            return Err(format!("{} is not a directory", path.display()));
        }
        let locks = Locks::read();
        let mut found = Self {
            path: path.to_owned(),
            uid: meta.uid(),
            mode: meta.mode() & 0o7777,
            owns: Vec::new(),
            logs: BTreeMap::new(),
            rings: Vec::new(),
            damaged: Vec::new(),
            temporary: Vec::new(),
        };
        let names = list(path).map_err(cannot)?;
        // Rings before states, states before segments: what leaves the one is in the other when that is looked at.
        for name in names.iter().filter(|n| is_own(n)) {
            found.look_into(&path.join(name), &locks);
        }
        let wanted = spool_dirs
            .iter()
            .map(|p| SpoolPlace::Directory(p.display().to_string()));
        for wanted in std::iter::once(SpoolPlace::Shm).chain(wanted) {
            if let Some((place, _)) = place::existing(&wanted, (meta.dev(), meta.ino())) {
                found.rings_of(&place, &locks);
            }
        }
        let owns: Vec<PathBuf> = found.owns.iter().map(|o| o.path.clone()).collect();
        for own in &owns {
            found.states_of(own, &locks);
        }
        let spoken: BTreeSet<String> = found
            .rings
            .iter()
            .filter_map(|r| r.look.as_ref().ok())
            .flat_map(|l| l.logs.iter().map(|w| w.name.clone()))
            .collect();
        for name in spoken {
            found.logs.entry(name).or_default().in_rings = true;
        }
        for name in list(path).map_err(cannot)? {
            if let Some(log) = log_of(&name)
                && let Some(segment) = naming::parse(name.as_bytes(), log)
            {
                let log = found.logs.entry(log.to_owned()).or_default();
                log.segments.push(segment);
            }
        }
        // A file that is called as a segment would be and of which nothing of ours knows is a log only if it looks so.
        let path = found.path.clone();
        found.logs.retain(|name, log| {
            log.segments.sort_unstable();
            log.in_rings || !log.states.is_empty() || looks_like_json(&path, name, &log.segments)
        });
        Ok(found)
    }

    /// Whether there is anything of ours here.
    ///
    /// # Errors
    /// A sentence, when there is not.
    pub fn require_logs(&self) -> Result<(), String> {
        if self.owns.is_empty() && self.logs.is_empty() && self.rings.is_empty() {
            return Err(format!(
                "{} holds no logs of logspool: no {OWN_DIR}/ and no segments such as app.jsonl.000001; give the directory \
                 that holds them (`logspool doctor` says where they would go)",
                self.path.display()
            ));
        }
        Ok(())
    }

    /// What is to be done with a ring that is a copy.
    pub fn copy_advice(&self, ring: &Ring) -> Option<String> {
        let original = ring.copy_of()?;
        let shown = quoted(&ring.place.join(&ring.file));
        let stands = self.rings.iter().any(|r| r.file == original);
        Some(if stands {
            format!(
                "it is a copy of {original}, which stands there too, and its records would be written twice; remove it: rm {shown}"
            )
        } else {
            format!(
                "it is a copy of {original}, which is gone; if the logs hold lines of it (their `seq` begins with {}-), its \
                 records were recovered, and the copy can be removed; if none, give it its name again and recover it: mv {shown} {}",
                original.trim_end_matches(".ring"),
                quoted(&ring.place.join(&original))
            )
        })
    }

    fn look_into(&mut self, own: &Path, locks: &Locks) {
        let Ok(meta) = std::fs::symlink_metadata(own) else {
            return;
        };
        if !meta.is_dir() {
            return;
        }
        let listed = list(own);
        self.owns.push(Own {
            path: own.to_owned(),
            uid: meta.uid(),
            mode: meta.mode() & 0o7777,
            closed: listed.as_ref().err().map(ToString::to_string),
        });
        self.rings_of(own, locks);
    }

    fn rings_of(&mut self, place: &Path, locks: &Locks) {
        for file in list(place).unwrap_or_default() {
            let path = place.join(&file);
            let Ok(meta) = std::fs::symlink_metadata(&path) else {
                continue; // Finished and gone.
            };
            let other = || Other {
                path: path.clone(),
                size: meta.len(),
                age: age(&meta),
            };
            if has_ending(&file, ".tmp") {
                self.temporary.push(other());
            } else if has_ending(&file, ".damaged") {
                self.damaged.push(other());
            } else if has_ending(&file, ".ring") {
                let (owner, look) = match open(&path) {
                    Ok(fd) => {
                        let owner = locks.of(fd.as_fd());
                        let look = look_at(&fd, owner.held);
                        (owner, look)
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(e) => (Held::default(), Err(e.to_string())),
                };
                self.rings.push(Ring {
                    place: place.to_owned(),
                    file,
                    uid: meta.uid(),
                    mode: meta.mode() & 0o7777,
                    size: meta.len(),
                    linked: meta.is_file() && meta.nlink() > 1,
                    owner,
                    look,
                });
            }
        }
    }

    fn states_of(&mut self, own: &Path, locks: &Locks) {
        let Ok(dir) = open(own) else { return };
        for file in list(own).unwrap_or_default() {
            let Some(name) = file.strip_suffix(".state") else {
                continue;
            };
            let lock = open(&own.join(&file)).map(|fd| locks.of(fd.as_fd()));
            let users = open(&own.join(format!("{name}.users"))).map(|fd| locks.listed(fd.as_fd()));
            let peek = match peek::peek(dir.as_fd(), &file) {
                Ok(peek::Seen::State(state)) => Ok(state),
                Ok(peek::Seen::Fresh) => Err("it is empty: its maker was stopped".to_owned()),
                Ok(peek::Seen::OtherVersion(version)) => Err(format!(
                    "it has format version {version}, which this logspool does not know"
                )),
                Ok(peek::Seen::NotAState) => {
                    Err("it is no state file: somebody overwrote or truncated it".to_owned())
                }
                Err(e) => Err(e.to_string()),
            };
            let log = self.logs.entry(name.to_owned()).or_default();
            log.states.push(State {
                own: own.to_owned(),
                lock: lock.unwrap_or_default(),
                users: users.unwrap_or_default(),
                peek,
            });
        }
    }
}

fn look_at(fd: &OwnedFd, alive: bool) -> Result<Box<Look>, String> {
    match look::look(fd.as_fd(), alive) {
        Ok(look::Seen::Ring(look)) => Ok(look),
        Ok(look::Seen::OtherVersion(version)) => Err(format!(
            "it has format version {version}, which this logspool does not know"
        )),
        Ok(look::Seen::NotARing) => Err("its header is damaged".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// Opens for reading, whatever it is, without following a link and without waiting.
fn open(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

fn list(path: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn has_ending(file: &str, ending: &str) -> bool {
    file.len() > ending.len() && file.ends_with(ending)
}

fn is_own(name: &str) -> bool {
    name == OWN_DIR
        || name
            .strip_prefix(OWN_DIR)
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|uid| uid.parse::<u32>().is_ok())
}

/// The log that a segment's name speaks of.
fn log_of(file: &str) -> Option<&str> {
    file.strip_suffix(".gz")
        .unwrap_or(file)
        .rsplit_once('.')
        .map(|(log, _)| log)
        .filter(|log| !log.is_empty())
}

fn looks_like_json(dir: &Path, name: &str, segments: &[Segment]) -> bool {
    use std::io::Read;
    segments.iter().any(|segment| {
        if segment.gz {
            return true;
        }
        let mut first = [0; 2];
        std::fs::File::open(dir.join(segment.file_name(name)))
            .and_then(|mut f| f.read_exact(&mut first))
            .is_ok_and(|()| &first == b"{\"")
    })
}

fn age(meta: &std::fs::Metadata) -> u64 {
    meta.modified()
        .ok()
        .and_then(|m| m.elapsed().ok())
        .map_or(0, |a| a.as_secs())
}

/// A user's name, or number.
pub fn user(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut words = line.split(':');
        let name = words.next()?;
        (words.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(
        || format!("uid {uid}"),
        |name| format!("{name} (uid {uid})"),
    )
}
