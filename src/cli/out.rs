//! Standard output and standard error of the command. A reader that has gone (`| head`) is no error.
//!
//! Names of files, settings and whatever else is shown may have been chosen by somebody who means harm: all of it goes through
//! [`sanitise`] here, at the only way out.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use serde_json::Value;

use crate::console::sanitise;
use crate::json;

/// Where a command writes.
pub struct Out {
    to: BufWriter<Stdout>,
    /// Nobody reads any more.
    gone: bool,
    failed: bool,
}

impl Out {
    pub fn new() -> Self {
        Self {
            to: BufWriter::new(io::stdout()),
            gone: false,
            failed: false,
        }
    }

    /// Text of several lines.
    pub fn text(&mut self, text: &str) {
        self.write(&lines(text));
    }

    /// A line.
    pub fn line(&mut self, text: &str) {
        self.write(&sanitise::one_line(text));
        self.write("\n");
    }

    /// The answer for machines.
    pub fn json(&mut self, value: &Value) {
        self.write(&json::harmless(&value.to_string()));
        self.write("\n");
    }

    /// A line on standard error.
    pub fn error(&mut self, text: &str) {
        self.tell(&sanitise::one_line(text));
    }

    /// Several lines on standard error.
    pub fn errors(&mut self, text: &str) {
        self.tell(&lines(text));
    }

    fn tell(&mut self, text: &str) {
        self.flush();
        // Who cannot be told cannot be told so either.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Whether standard output could not be written, other than because nobody reads it.
    pub fn failed(mut self) -> bool {
        self.flush();
        if self.gone {
            // What is still buffered would be tried again, and again in vain.
            let _ = self.to.into_parts();
        }
        self.failed
    }

    fn write(&mut self, text: &str) {
        if !self.gone {
            let done = self.to.write_all(text.as_bytes());
            self.judge(done);
        }
    }

    fn flush(&mut self) {
        if !self.gone {
            let done = self.to.flush();
            self.judge(done);
        }
    }

    fn judge(&mut self, done: io::Result<()>) {
        let Err(e) = done else { return };
        self.gone = true;
        if e.kind() != ErrorKind::BrokenPipe {
            self.failed = true;
            let _ = writeln!(io::stderr(), "logspool: cannot write standard output: {e}");
        }
    }
}

/// Text whose newlines are ours.
fn lines(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    sanitise::neutralise(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
