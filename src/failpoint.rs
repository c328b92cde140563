//! Named points at which a test kills or stops the process or skips a step, and a numbered step before each change of what
//! a kill leaves behind. Compiled in only with the feature `failpoints`.
//!
//! `LOGSPOOL_FAILPOINT=kill:<name>:<nth>` sends SIGKILL to the process at the nth passage of a point, `stop:<name>:<nth>`
//! SIGSTOP; `LOGSPOOL_FAILPOINT=<switch>` turns on a mutation such as `no-intent`. Several are separated by commas.
//!
//! Steps stand before every store to mapped memory ([`crate::mapping`] sees to that) and before every system call that
//! changes files. The crash model (`tests/rust/crash_model.rs`) stops the code at each of them in turn.

#[cfg(feature = "failpoints")]
pub mod crash;
#[cfg(feature = "failpoints")]
pub mod turns;

#[cfg(feature = "failpoints")]
mod enabled {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    struct Point {
        name: String,
        left: AtomicU64,
        signal: Signal,
    }

    #[derive(Default)]
    struct Points {
        points: Vec<Point>,
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
                let at = |p: &'static str| part.strip_prefix(p).and_then(|k| k.rsplit_once(':'));
                let found = at("kill:")
                    .map(|at| (Signal::KILL, at))
                    .or_else(|| at("stop:").map(|at| (Signal::STOP, at)));
                if let Some((signal, (name, nth))) = found {
                    points.points.push(Point {
                        name: name.to_owned(),
                        left: AtomicU64::new(nth.parse().expect("<signal>:<name>:<nth>")),
                        signal,
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
        for point in &points().points {
            if point.name == name && point.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                let _ = kill_process(getpid(), point.signal);
                // Another thread takes the signal, and this one must not go on until it is told to stop.
                std::thread::sleep(if point.signal == Signal::KILL {
                    Duration::MAX
                } else {
                    Duration::from_millis(100)
                });
            }
        }
    }

    /// Whether the mutation `name` is on, in the process or in this thread.
    pub fn switched(name: &str) -> bool {
        points().switches.iter().any(|s| s == name) || super::crash::switched(name)
    }
}

#[cfg(feature = "failpoints")]
pub use crash::{died, parts, pass_on, step};
#[cfg(feature = "failpoints")]
pub use enabled::{point, switched};
#[cfg(feature = "failpoints")]
pub use turns::turn;

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

/// Stands where another thread may come in between.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn turn() {}

/// The same as [`step`], before a change that a kill may leave half done: `partly` does a part of `len`.
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

/// Unwinds on where `panic` stands for a kill, which nobody survives.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn pass_on(_panic: Box<dyn std::any::Any + Send>) {}
