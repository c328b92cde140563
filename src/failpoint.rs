//! Named points at which a test kills the process or skips a step, and a numbered step before each change of what a kill
//! leaves behind. Compiled in only with the feature `failpoints`.
//!
//! `LOGSPOOL_FAILPOINT=kill:<name>:<nth>` sends SIGKILL to the process at the nth passage of a point;
//! `LOGSPOOL_FAILPOINT=<switch>` turns on a mutation such as `no-intent`. Several are separated by commas.
//!
//! Steps stand before every store to mapped memory ([`crate::mapping`] sees to that) and before every system call that
//! changes files. The crash model (`tests/rust/crash_model.rs`) stops the code at each of them in turn.

#[cfg(feature = "failpoints")]
pub mod crash;

#[cfg(feature = "failpoints")]
mod enabled {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Kill {
        name: String,
        left: AtomicU64,
    }

    #[derive(Default)]
    struct Points {
        kills: Vec<Kill>,
        switches: Vec<String>,
    }

    fn points() -> &'static Points {
        static POINTS: OnceLock<Points> = OnceLock::new();
        POINTS.get_or_init(|| {
            let mut points = Points::default();
            for part in std::env::var("LOGSPOOL_FAILPOINT")
                .unwrap_or_default()
                .split(',')
                .filter(|p| !p.is_empty())
            {
                if let Some((name, nth)) =
                    part.strip_prefix("kill:").and_then(|k| k.rsplit_once(':'))
                {
                    points.kills.push(Kill {
                        name: name.to_owned(),
                        left: AtomicU64::new(nth.parse().expect("kill:<name>:<nth>")),
                    });
                } else {
                    points.switches.push(part.to_owned());
                }
            }
            points
        })
    }

    /// Passes the point `name`; the process may end here.
    pub fn point(name: &str) {
        for kill in &points().kills {
            if kill.name == name && kill.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
                std::thread::park();
            }
        }
    }

    /// Whether the mutation `name` is on, in the process or in this thread.
    pub fn switched(name: &str) -> bool {
        points().switches.iter().any(|s| s == name) || super::crash::switched(name)
    }
}

#[cfg(feature = "failpoints")]
pub use crash::{died, parts, step};
#[cfg(feature = "failpoints")]
pub use enabled::{point, switched};

/// Passes the point `name`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn point(_name: &str) {}

/// Whether the mutation `name` is on: never, without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[must_use]
pub fn switched(_name: &str) -> bool {
    false
}

/// Stands before a change of what a kill leaves behind.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn step() {}

/// The same, before a change that a kill may leave half done: `partly` does a part of `len`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn parts(_len: usize, _partly: impl FnOnce(usize)) {}

/// Whether this thread acts for a process that was killed, of which nothing but the closing of descriptors may be seen.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[must_use]
pub fn died() -> bool {
    false
}
