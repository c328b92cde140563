//! logspool
pub mod json;
#[cfg(feature = "python")]
mod python;
