//! The report as text for people and as JSON for machines.

use std::path::Path;

use serde_json::{Value, json};

use super::log_report::{LogReport, Problem};
use super::report::Report;
use crate::cli::out::Out;
use crate::cli::{bytes, counted};

impl LogReport {
    fn show(&self, dir: &Path, out: &mut Out) {
        let gz = match self.gzipped {
            0 => String::new(),
            n => format!(" ({n} gzipped)"),
        };
        let verdict = match (self.verified, self.problems.is_empty()) {
            (_, false) => counted(self.problems.len() as u64, "problem"),
            (true, true) => "nothing missing, doubled, out of order or torn".to_owned(),
            (false, true) => "every line is whole".to_owned(),
        };
        let what = if self.verified { "record" } else { "line" };
        out.line(&format!(
            "{}: {}{gz}, {}, {}{}: {verdict}",
            dir.join(&self.name).display(),
            counted(self.segments as u64, "segment"),
            bytes(self.bytes),
            counted(
                if self.verified {
                    self.records
                } else {
                    self.lines
                },
                what
            ),
            if self.rings > 0 {
                format!(" of {}", counted(self.rings as u64, "ring"))
            } else {
                String::new()
            },
        ));
        if self.dropped > 0 {
            out.line(&format!(
                "  {} announced in the log (the spool was full)",
                counted(self.dropped, "drop")
            ));
        }
        for note in &self.notes {
            out.line(&format!("  {note}"));
        }
        for problem in &self.problems {
            out.line(&format!("  PROBLEM  {}", problem.text));
        }
    }

    fn json(&self) -> Value {
        let problem = |p: &Problem| {
            let mut value = json!({"kind": p.kind, "message": p.text});
            if let (Some(all), Value::Object(more)) = (value.as_object_mut(), &p.more) {
                all.extend(more.clone());
            }
            value
        };
        json!({
            "name": self.name,
            "segments": self.segments,
            "gzipped": self.gzipped,
            "bytes": self.bytes,
            "lines": self.lines,
            "records": self.records,
            "rings": self.rings,
            "dropped": self.dropped,
            "in_spool": self.in_spool,
            "numbered": self.verified,
            "notes": self.notes,
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
        })
    }
}

impl Report {
    pub fn show(&self, out: &mut Out) {
        for log in &self.logs {
            log.show(&self.path, out);
        }
        if self.logs.is_empty() {
            out.line(&format!("{}: there are no logs yet", self.path.display()));
        }
        for text in &self.problems {
            out.line(&format!("PROBLEM  {text}"));
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "directory": self.path.display().to_string(),
            "ok": self.is_clean(),
            "seconds": self.seconds,
            "logs": self.logs.iter().map(LogReport::json).collect::<Vec<_>>(),
            "problems": self.problems,
        })
    }
}
