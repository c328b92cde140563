//! Named points at which a test kills the process or skips a step. Compiled in only with the feature `failpoints`.
//!
//! `LOGSPOOL_FAILPOINT=kill:<name>:<nth>` sends SIGKILL to the process at the nth passage of a point;
//! `LOGSPOOL_FAILPOINT=<switch>` turns on a mutation such as `no-intent`. Several are separated by commas.

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

    pub fn switched(name: &str) -> bool {
        points().switches.iter().any(|s| s == name)
    }
}

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
