//! `logspool.Logger`: a log call without a `LogRecord`, wherever nobody would notice.
//!
//! [`class`] makes the type, whose methods [`call`] answers: [`world`] tells whether `logging` is the standard library's, [`plan`] where
//! a logger's records go, [`caller`] and [`thread`] who logs, and [`line`] writes what `logging` would have written. Whatever is not
//! ordinary is handed to the public method of `logging.Logger` before anything was done.

mod arguments;
mod call;
mod caller;
mod class;
mod frame;
mod line;
mod marks;
mod piece;
mod plan;
mod thread;
mod world;

pub(super) use class::{fast_calls, install, set_up};
pub(super) use marks::{Marks, dict_version, type_tag};
