//! The spool: one memory-mapped ring per process and log directory, between the logging call and the writer thread.
//!
//! [`producer`] commits finished lines, [`drain`] carries them into segments exactly once, [`recover`] does the same
//! for rings whose owner died. A record is accepted when its frame is committed; from then on it survives SIGKILL.

pub mod by_hand;
mod census;
mod checksum;
pub mod drain;
pub mod frame;
mod full;
pub mod grow;
#[cfg(test)]
mod grow_tests;
mod name;
pub mod notice;
pub mod place;
pub mod producer;
pub mod recover;
pub mod ring;
pub mod salvage;
pub mod stores;
pub mod successor;
