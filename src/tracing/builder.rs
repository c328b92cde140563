//! Settings of a layer: what the program says, else the environment, else the defaults.

// A setting that is not given is another thing than one that says "none".
#![allow(clippy::option_option)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::encode::Encoder;
use super::environment::{self as env, Environment};
use super::filter::env_filter;
use super::layer::SpoolLayer;
use super::output::{Guard, Output};
use crate::config::{Fsync, LogSettings, SpoolPlace, SpoolSettings, WhenFull};
use crate::cut::write_cut;
use crate::engine::engine;
use crate::error::{Error, Result};
use crate::redact::{RedactSettings, Redactor};
use crate::segment::when::When;

/// Characters of `service`, `environment`, `version` that are kept.
const MAX_STATIC: usize = 256;
/// The smallest line limit: a line with everything cut still takes some bytes.
const MIN_MAX_RECORD: usize = 1024;
const DEFAULT_MAX_RECORD: usize = 256 << 10;
const DEFAULT_MAX_FIELD: usize = 16 << 10;

/// Settings of a log. What is not set here is read from the variables that Python programs read (`LOG_PATH`, `LOG_DIR`,
/// `LOG_ROTATE_SIZE`, `SERVICE_NAME`, …, `LOGSPOOL_` before `LOG_`), and else has the same defaults.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is logged before `init` or `build`"]
pub struct Builder {
    filename: Option<PathBuf>,
    service: Option<String>,
    environment: Option<String>,
    version: Option<String>,
    fixed: Vec<(String, serde_json::Value)>,
    max_bytes: Option<u64>,
    backup_count: Option<u64>,
    when: Option<When>,
    gzip: Option<bool>,
    fsync: Option<Fsync>,
    when_full: Option<WhenFull>,
    block_timeout: Option<Option<Duration>>,
    spool_bytes: Option<u64>,
    spool_dir: Option<SpoolPlace>,
    queue_max: Option<Option<u64>>,
    redact: Option<Option<RedactSettings>>,
    max_field: Option<usize>,
    max_record: Option<usize>,
    src: Option<bool>,
    context: Option<bool>,
    current_span: Option<bool>,
    span_list: Option<bool>,
}

/// Settings of a log, all of them as the environment and the defaults have them.
pub fn builder() -> Builder {
    Builder::default()
}

impl Builder {
    /// The log's plain path: segments are `<filename>.000001`, ….
    pub fn filename(mut self, path: impl AsRef<Path>) -> Self {
        self.filename = Some(path.as_ref().to_owned());
        self
    }

    /// `service` of every record (`SERVICE_NAME`, `OTEL_SERVICE_NAME`).
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// `environment` of every record (`ENVIRONMENT`).
    pub fn environment(mut self, name: impl Into<String>) -> Self {
        self.environment = Some(name.into());
        self
    }

    /// `version` of every record (`APP_VERSION`).
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// A field of every record that has none of that name.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.fixed.push((name.into(), value.into()));
        self
    }

    /// Bytes a segment; 0 never rotates by size (`LOG_ROTATE_SIZE`, 10 MiB).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Closed segments kept; 0 keeps all (`LOG_BACKUPS`, 5).
    pub fn backup_count(mut self, count: u64) -> Self {
        self.backup_count = Some(count);
        self
    }

    /// When a segment is closed by time, too (`LOG_ROTATE_WHEN`); in UTC.
    pub fn when(mut self, when: When) -> Self {
        self.when = Some(when);
        self
    }

    /// Whether closed segments are compressed (`LOG_GZIP`, true).
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = Some(gzip);
        self
    }

    /// When what is written is forced to the device (`LOG_FSYNC`, never).
    pub fn fsync(mut self, fsync: Fsync) -> Self {
        self.fsync = Some(fsync);
        self
    }

    /// What an event does when the spool is full (`LOG_WHEN_FULL`, block).
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = Some(policy);
        self
    }

    /// How long it waits then, once per stall; `None` for ever (`LOG_BLOCK_TIMEOUT`, 0.1 s). An async task waits with its thread.
    pub fn block_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.block_timeout = Some(timeout);
        self
    }

    /// Bytes of the spool, from 64 KiB to 4 GiB (`LOG_SPOOL_BYTES`, 8 MiB).
    pub fn spool_bytes(mut self, bytes: u64) -> Self {
        self.spool_bytes = Some(bytes);
        self
    }

    /// Where the spool stands (`LOG_SPOOL_DIR`, beside the logs).
    pub fn spool_dir(mut self, place: SpoolPlace) -> Self {
        self.spool_dir = Some(place);
        self
    }

    /// Records in flight, beside the spool's bytes (`LOG_QUEUE_MAX`, no limit).
    pub fn queue_max(mut self, records: Option<u64>) -> Self {
        self.queue_max = Some(records);
        self
    }

    /// What is taken out of records; `None` nothing (`LOG_REDACT`, secrets).
    pub fn redact(mut self, settings: Option<RedactSettings>) -> Self {
        self.redact = Some(settings);
        self
    }

    /// Characters of a text (`LOG_MAX_FIELD`, 16,384).
    pub fn max_field(mut self, characters: usize) -> Self {
        self.max_field = Some(characters);
        self
    }

    /// Bytes of a record, 1,024 or more (`LOG_MAX_RECORD`, 256 KiB).
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = Some(bytes);
        self
    }

    /// Whether records have `src`, file and line (true).
    pub fn src(mut self, src: bool) -> Self {
        self.src = Some(src);
        self
    }

    /// Whether the fields of spans are fields of the events in them, as a bound context (true).
    pub fn context(mut self, context: bool) -> Self {
        self.context = Some(context);
        self
    }

    /// Whether records have `fields.span`, the innermost span with its fields (true).
    pub fn current_span(mut self, current_span: bool) -> Self {
        self.current_span = Some(current_span);
        self
    }

    /// Whether records have `fields.spans`, all spans from the outermost on (true).
    pub fn span_list(mut self, span_list: bool) -> Self {
        self.span_list = Some(span_list);
        self
    }

    /// Opens the log and installs a subscriber for the whole program: this layer behind [`env_filter`]. `log`'s records come, too.
    ///
    /// # Errors
    /// As [`build`](Self::build), or a subscriber is installed already.
    pub fn init(self) -> Result<Guard> {
        let (layer, guard) = self.build()?;
        let installed = registry().with(env_filter()).with(layer).try_init();
        installed.map_err(|error| {
            let why = format!("{error}; build() gives a layer to be put beside others");
            Error::invalid("cannot log with", "tracing", why)
        })?;
        Ok(guard)
    }

    /// Opens the log. What is logged before a subscriber has the layer is not seen; keep the guard until the end of `main`.
    ///
    /// # Errors
    /// A path that cannot hold a log, a setting or a variable that cannot be used: the message says which and what is allowed.
    pub fn build(self) -> Result<(SpoolLayer, Guard)> {
        self.build_from(&Environment(&env::of_process))
    }

    fn build_from(self, environment: &Environment<'_>) -> Result<(SpoolLayer, Guard)> {
        let log = self.log_settings(environment)?;
        let spool = self.spool_settings(environment)?;
        let encoder = self.encoder(environment)?;
        let path = self.filename.clone().unwrap_or_else(|| {
            let service = self.service_name(environment);
            environment.path(&file_stem(&service.unwrap_or_else(program)))
        });
        let opened = engine().open(&path, &log, &spool)?;
        let layer = SpoolLayer::new(encoder, Output::new(opened, log, spool));
        Ok((layer, Guard::new()))
    }

    fn service_name(&self, environment: &Environment<'_>) -> Option<String> {
        let given = self.service.clone();
        given
            .or_else(|| environment.get("SERVICE_NAME"))
            .or_else(|| environment.get("OTEL_SERVICE_NAME"))
    }

    fn log_settings(&self, environment: &Environment<'_>) -> Result<LogSettings> {
        let defaults = LogSettings::default();
        let max_bytes = environment.setting("ROTATE_SIZE", env::SIZE, env::size)?;
        let backups = environment.setting("BACKUPS", env::COUNT, env::count)?;
        let when = environment.setting("ROTATE_WHEN", env::WHEN, env::when)?;
        let gzip = environment.setting("GZIP", env::FLAG, env::flag)?;
        let fsync = environment.setting("FSYNC", env::FSYNC, env::fsync)?;
        Ok(LogSettings {
            max_bytes: self.max_bytes.or(max_bytes).unwrap_or(defaults.max_bytes),
            backup_count: self
                .backup_count
                .or(backups)
                .unwrap_or(defaults.backup_count),
            when: self
                .when
                .map(When::encode)
                .or(when)
                .unwrap_or(defaults.when),
            gzip: self.gzip.or(gzip).unwrap_or(defaults.gzip),
            fsync: self.fsync.or(fsync).unwrap_or(defaults.fsync),
            ..defaults
        })
    }

    fn spool_settings(&self, environment: &Environment<'_>) -> Result<SpoolSettings> {
        let defaults = SpoolSettings::default();
        let bytes = environment.setting("SPOOL_BYTES", env::SPOOL_BYTES, env::spool_bytes)?;
        let place = environment.setting("SPOOL_DIR", env::SPOOL_DIR, env::spool_dir)?;
        let when_full = environment.setting("WHEN_FULL", env::WHEN_FULL, env::when_full)?;
        let timeout = environment.setting("BLOCK_TIMEOUT", env::SECONDS, env::seconds)?;
        let queue = environment.setting("QUEUE_MAX", env::OPTIONAL_COUNT, env::optional_count)?;
        if let Some(bytes) = self.spool_bytes
            && env::spool_bytes(&bytes.to_string()).is_none()
        {
            return Err(refused("spool_bytes", bytes, env::SPOOL_BYTES));
        }
        Ok(SpoolSettings {
            bytes: self.spool_bytes.or(bytes).unwrap_or(defaults.bytes),
            place: self.spool_dir.clone().or(place).unwrap_or(defaults.place),
            when_full: self.when_full.or(when_full).unwrap_or(defaults.when_full),
            block_timeout: self
                .block_timeout
                .or(timeout)
                .unwrap_or(defaults.block_timeout),
            queue_max: self.queue_max.or(queue).unwrap_or(defaults.queue_max),
        })
    }

    fn encoder(&self, environment: &Environment<'_>) -> Result<Encoder> {
        let characters = |text: &str| env::size(text).and_then(|size| usize::try_from(size).ok());
        let bytes = |text: &str| characters(text).filter(|bytes| *bytes >= MIN_MAX_RECORD);
        let allowed = "a size of 1024 bytes or more";
        let max_field = environment.setting("MAX_FIELD", env::SIZE, characters)?;
        let max_record = environment.setting("MAX_RECORD", allowed, bytes)?;
        let redact = environment.setting("REDACT", env::REDACT, env::redact)?;
        if let Some(bytes) = self.max_record.filter(|bytes| *bytes < MIN_MAX_RECORD) {
            return Err(refused("max_record", bytes, allowed));
        }
        let redact = self
            .redact
            .clone()
            .or(redact)
            .unwrap_or_else(|| Some(RedactSettings::default()));
        let redactor = redact.map(Redactor::new).transpose()?;
        let known = [
            ("service", self.service_name(environment)),
            (
                "environment",
                self.environment
                    .clone()
                    .or_else(|| environment.get("ENVIRONMENT")),
            ),
            (
                "version",
                self.version
                    .clone()
                    .or_else(|| environment.get("APP_VERSION")),
            ),
        ];
        let mut identity = Vec::new();
        for (name, value) in known {
            if let Some(value) = value {
                identity.extend_from_slice(format!(",\"{name}\":\"").as_bytes());
                write_cut(&mut identity, value.as_bytes(), MAX_STATIC);
                identity.push(b'"');
            }
        }
        let mut encoder = Encoder {
            number: Encoder::next_number(),
            identity,
            fixed: Vec::new(),
            redactor,
            src: self.src.unwrap_or(true),
            context: self.context.unwrap_or(true),
            current_span: self.current_span.unwrap_or(true),
            span_list: self.span_list.unwrap_or(true),
            max_field: self.max_field.or(max_field).unwrap_or(DEFAULT_MAX_FIELD),
            max_record: self.max_record.or(max_record).unwrap_or(DEFAULT_MAX_RECORD),
        };
        for (name, value) in &self.fixed {
            let mut json = Vec::new();
            match (value, encoder.secret(name)) {
                (value, Some(rule)) => {
                    encoder.write_secret(&mut json, value.as_str().unwrap_or_default(), rule);
                }
                (serde_json::Value::String(text), None) => {
                    encoder.write_value(&mut json, text, encoder.max_field, false);
                }
                (value, None) => {
                    json.extend_from_slice(crate::json::harmless(&value.to_string()).as_bytes());
                }
            }
            let mut whole = Vec::new();
            crate::json::write_str(&mut whole, name);
            whole.push(b':');
            whole.append(&mut json);
            encoder.fixed.push((name.clone(), whole));
        }
        Ok(encoder)
    }
}

fn refused(setting: &'static str, value: impl std::fmt::Display, allowed: &str) -> Error {
    Error::invalid(
        "cannot use the setting",
        setting,
        format!("{value} was given; expected {allowed}"),
    )
}

/// The program's name.
fn program() -> String {
    let path = std::env::args_os().next().map(PathBuf::from);
    let stem = path.as_deref().and_then(Path::file_stem);
    stem.map_or_else(
        || "app".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

/// A name as a file name: other than letters, digits, `.`, `_` and `-` becomes `-`; at most 100 characters.
fn file_stem(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || ".-_".contains(c) {
            c
        } else {
            '-'
        }
    };
    let stem: String = name.chars().map(plain).collect();
    let stem: String = stem.trim_matches(['.', '-']).chars().take(100).collect();
    if stem.is_empty() {
        "app".to_owned()
    } else {
        stem
    }
}
