//! Segments: the files a log consists of. They are appended to, closed, compressed and deleted, and never renamed.

pub mod compress;
pub mod dir;
pub mod link;
pub mod lock;
pub mod naming;
pub mod retain;
pub mod state;
pub mod store;
pub mod when;
