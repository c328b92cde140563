//! A layer for `tracing_subscriber`: Rust programs leave the records that Python programs leave, in the same files, through the same
//! spool.
//!
//! ```no_run
//! # fn main() -> logspool::error::Result<()> {
//! let _guard = logspool::tracing::builder().filename("logs/worker.jsonl").service("worker").init()?;
//! tracing::info!(task_id = "task-123", "task created");
//! # Ok(())
//! # }
//! ```
//!
//! [`Builder::init`] installs a subscriber with the filter that `RUST_LOG` asks for; [`Builder::build`] gives the layer alone, to be
//! put beside others:
//!
//! ```no_run
//! use tracing_subscriber::prelude::*;
//! # fn main() -> logspool::error::Result<()> {
//! let (layer, _guard) = logspool::tracing::builder().build()?;
//! tracing_subscriber::registry()
//!     .with(layer.with_filter(logspool::tracing::env_filter()))
//!     .with(tracing_subscriber::fmt::layer())
//!     .init();
//! # Ok(())
//! # }
//! ```
//!
//! An event is one line of JSON (schema 1), committed to the spool when the macro returns: it survives the death of the process, and a
//! process that logs to the same directory later writes it. What waits when the process ends by itself is written when the [`Guard`] is
//! dropped. The macro waits where the spool is full (`when_full`), never for the disk.
//!
//! - `level` is `ERROR`, `WARNING`, `INFO`, `DEBUG` or `TRACE`; `logger` is the target; `event` is the field `event`, else the message.
//! - `fields` are those of the spans that the event stands in, inner before outer, under those of the event: as a bound context in
//!   Python. `span` is the innermost span with its name and fields; `spans` all of them from the outermost on.
//! - `request_id`, `session_id`, `trace_id`, `span_id`, `trace_flags`, `tool`, `category` of an event or a span stand at the top.
//! - An error given as `error = &e as &dyn Error` leaves an `exception` with its causes.
//! - Secrets are taken out, long texts cut, base64 and binary told by what they were: as in Python.

/// The program that users see compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/rust.md")]
struct Document;

mod builder;
mod encode;
mod environment;
mod error;
mod filter;
mod layer;
mod line;
mod output;
mod values;

pub use self::builder::{Builder, builder};
pub use self::filter::env_filter;
pub use self::layer::SpoolLayer;
pub use self::output::{Guard, flush};
