//! Segments: the files a log consists of. They are appended to, closed, compressed and deleted, and never renamed.

pub mod compress;
mod current;
pub mod dir;
mod finish;
pub mod link;
pub mod lock;
pub mod naming;
pub mod reserve;
pub mod retain;
pub mod state;
pub mod store;
pub mod trust;
pub mod when;
