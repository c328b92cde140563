//! `logspool.Logger`: a log call without a `LogRecord`, wherever nobody would notice.
//!
//! [`class`] makes the type, whose methods [`call`] answers: [`world`] tells whether `logging` is the standard library's ([`standard`]), [`plan`] where
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
mod standard;
mod thread;
mod world;

pub(super) use call::now;
pub(super) use class::{fast_calls, install, set_up};

/// The name of the thread that logs, where that can be told without Python.
pub(super) fn thread_name(py: pyo3::Python<'_>) -> Option<super::held::Held<'_>> {
    let world = world::world(py)?;
    world.is_ordinary(py)?;
    thread::current(py, world).map(|thread| thread.name)
}
pub(super) use marks::{Marks, dict_version, type_tag};
