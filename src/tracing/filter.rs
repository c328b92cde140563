//! Which events come: what the environment says.

use tracing_subscriber::filter::EnvFilter;

use super::environment::{self as env, Environment};
use crate::report;

/// The filter that `RUST_LOG` asks for (`info,my_crate=debug,hyper=warn`), else the level in `LOG_LEVEL`, else `info`. What cannot be
/// understood is said on standard error and leaves `info`.
#[must_use]
pub fn env_filter() -> EnvFilter {
    filter_from(&Environment(&env::of_process))
}

fn filter_from(environment: &Environment<'_>) -> EnvFilter {
    let own = |name: &str| environment.get(name).map(|value| (name.to_owned(), value));
    let level = own("LOGSPOOL_LEVEL").or_else(|| own("LOG_LEVEL"));
    let level = level.map(|(name, level)| {
        let folded = match level.trim().to_ascii_lowercase().as_str() {
            "critical" | "fatal" => "error",
            "warning" => "warn",
            other => other,
        }
        .to_owned();
        (name, folded)
    });
    let Some((name, directives)) = own("RUST_LOG").or(level) else {
        return EnvFilter::new("info");
    };
    EnvFilter::try_new(&directives).unwrap_or_else(|error| {
        report::say(&format!(
            "{name}: {directives:?} was given; expected a level (error, warn, info, debug, trace, off) or directives such as \
             info,my_crate=debug ({error}); info is used"
        ));
        EnvFilter::new("info")
    })
}
