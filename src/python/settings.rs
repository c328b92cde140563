//! Settings as the Python face resolved them, into the core's types.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Deserialize;

use crate::config::{
    Fsync, LogSettings, MAX_SPOOL_BYTES, MIN_SPOOL_BYTES, SpoolPlace, SpoolSettings, WhenFull,
};
use crate::noise::NoiseSettings;
use crate::segment::when::When;

/// What cannot be deserialised: Python objects the core only holds.
const OBJECTS: [&str; 3] = ["static", "console_format", "redact"];

#[derive(Deserialize)]
struct Raw {
    filename: String,
    max_bytes: u64,
    backup_count: u64,
    when: Option<When>,
    interval: u32,
    utc: bool,
    gzip: bool,
    file_mode: u32,
    dir_mode: u32,
    fsync: Fsync,
    when_full: WhenFull,
    block_timeout: Option<f64>,
    spool_bytes: u64,
    spool_dir: Option<String>,
    queue_max: Option<u64>,
    json: bool,
    console_level: Option<i64>,
    /// `10` or `10/s` by logger prefix.
    sample: BTreeMap<String, String>,
    /// Seconds.
    collapse: Option<f64>,
}

/// Everything needed to open a log, and to open it again in a forked child.
#[derive(Debug)]
pub struct OpenSettings {
    /// Plain path.
    pub path: PathBuf,
    /// The log's own settings.
    pub log: LogSettings,
    /// Its spool's.
    pub spool: SpoolSettings,
    /// JSON lines, else text.
    pub json: bool,
    /// From which level on records are mirrored to standard error.
    pub console_level: Option<i64>,
    /// Sampling and collapse.
    pub noise: NoiseSettings,
}

impl OpenSettings {
    /// Reads the resolved settings.
    pub fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let plain = settings.copy()?;
        for name in OBJECTS {
            if plain.contains(name)? {
                plain.del_item(name)?;
            }
        }
        let raw: Raw = pythonize::depythonize(&plain)
            .map_err(|e| PyValueError::new_err(format!("settings: {e}")))?;
        if !(MIN_SPOOL_BYTES..=MAX_SPOOL_BYTES).contains(&raw.spool_bytes) {
            return Err(PyValueError::new_err(format!(
                "spool_bytes: {}: allowed are {MIN_SPOOL_BYTES} to {MAX_SPOOL_BYTES} bytes",
                raw.spool_bytes
            )));
        }
        let noise = NoiseSettings {
            sample: raw
                .sample
                .into_iter()
                .map(|(name, rate)| Ok((name, rate.parse().map_err(PyValueError::new_err)?)))
                .collect::<PyResult<_>>()?,
            collapse: raw.collapse.map(seconds),
        };
        Ok(Self {
            path: PathBuf::from(raw.filename),
            log: LogSettings {
                max_bytes: raw.max_bytes,
                backup_count: raw.backup_count,
                when: raw.when.map_or(0, When::encode),
                interval: raw.interval.max(1),
                utc: raw.utc,
                gzip: raw.gzip,
                file_mode: raw.file_mode,
                dir_mode: raw.dir_mode,
                fsync: raw.fsync,
            },
            spool: SpoolSettings {
                bytes: raw.spool_bytes,
                place: match raw.spool_dir {
                    None => SpoolPlace::BesideLogs,
                    Some(place) if place == "shm" => SpoolPlace::Shm,
                    Some(path) => SpoolPlace::Directory(path),
                },
                when_full: raw.when_full,
                block_timeout: raw.block_timeout.map(seconds),
                queue_max: raw.queue_max,
            },
            json: raw.json,
            console_level: raw.console_level,
            noise,
        })
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 1e9)).unwrap_or_default()
}
