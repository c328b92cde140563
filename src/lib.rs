//! logspool
pub mod console;
pub mod json;
#[cfg(feature = "python")]
mod python;
pub mod segment;
pub mod thread;
