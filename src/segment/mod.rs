//! Segments: the numbered files a log is made of. Their names, when they end, how they are compressed and how long they are kept.
pub mod compress;
pub mod lock;
pub mod naming;
pub mod retain;
pub mod when;
