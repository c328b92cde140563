//! logspool: a log call becomes one line of JSON in a memory-mapped spool, and from then on survives `kill -9`.
//!
//! Data flows one way:
//!
//! ```text
//! logging call ─► level ─► sample ─► encode ─► collapse ─► spool ─► writer ─► segments ─► gzip, retention
//! └─────────── calling thread, attached to Python ────────────┘ └──── native threads, never attached ────┘
//! ```
//!
//! Invariants: native threads never attach to Python; no Rust lock is held while Python code can run; every lost
//! record is counted and announced; user data never makes logging raise; one encoding per record; compression never
//! stalls the writer; after `fork` the child starts fresh; a panic is caught at every entry from Python.
//!
//! Rust programs log through `tracing`, a layer of `tracing_subscriber`'s (feature of that name), in `python`'s place.
//!
//! Imports point one way: `python`, `tracing` → [`engine`], [`writer`], [`janitor`], [`cli`] → [`noise`] → [`segment`], [`spool`] → [`json`],
//! [`redact`], [`sample`], [`collapse`], [`console`] → [`config`], [`error`] and the other foundations. Only `python` names `pyo3`.

pub mod cli;
pub mod collapse;
pub mod config;
pub mod config_file;
pub mod console;
pub mod cut;
pub mod decimal;
pub mod engine;
pub mod error;
pub mod failpoint;
pub mod fork;
pub mod janitor;
pub mod json;
pub mod mapping;
pub mod memtrap;
pub mod noise;
pub mod payload;
#[cfg(feature = "python")]
mod python;
pub mod recent;
pub mod redact;
pub mod report;
pub mod sample;
pub mod segment;
pub mod skim;
pub mod spool;
pub mod stats;
pub mod sync;
pub mod thread;
#[cfg(feature = "tracing")]
pub mod tracing;
pub mod wake;
pub mod writer;
