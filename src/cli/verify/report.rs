//! What was found in all logs, and in the directory as a whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::log_report::LogReport;
use crate::cli::survey::Survey;

/// All logs.
pub struct Report {
    pub(super) path: PathBuf,
    pub logs: Vec<LogReport>,
    /// Of the directory as a whole.
    pub(super) problems: Vec<String>,
    pub seconds: f64,
}

impl Report {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            logs: Vec::new(),
            problems: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Rings nobody can read: what they hold is not known.
    pub fn rings(&mut self, survey: &Survey) {
        for ring in &survey.rings {
            if let Err(why) = &ring.look {
                self.problems.push(format!(
                    "the spool {} cannot be looked into: {why}; records that wait there are not verified",
                    ring.shown()
                ));
            }
            if let Some(advice) = survey.copy_advice(ring) {
                let advice = advice.trim_start_matches("it ");
                self.problems.push(format!("{} {advice}", ring.shown()));
            }
            if ring.linked && !ring.owner.held {
                self.problems.push(format!(
                    "the spool {} has another name somewhere (a hard link): nobody recovers it, as its records would be written \
                     twice; remove one of the names",
                    ring.shown()
                ));
            }
        }
        for own in &survey.owns {
            if let Some(why) = &own.closed {
                self.problems.push(format!(
                    "{} cannot be looked into: {why}; records that wait there are not verified",
                    own.path.display()
                ));
            }
        }
    }

    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.logs.iter().all(|l| l.problems.is_empty())
    }

    pub fn has_unexplained_gaps(&self) -> bool {
        self.logs
            .iter()
            .any(|l| l.problems.iter().any(|p| p.kind == "missing"))
    }

    /// Puts what a second look at some logs has shown in place of the first.
    pub fn replace(&mut self, second: Self) {
        for log in second.logs {
            self.logs.retain(|l| l.name != log.name);
            self.logs.push(log);
        }
        self.logs.sort_by(|a, b| a.name.cmp(&b.name));
        self.problems = second.problems;
    }

    /// Gaps of rings that turn out to be damaged are explained by that.
    pub fn explain(&mut self, damage: &BTreeSet<String>) {
        for problem in self.logs.iter_mut().flat_map(|l| l.problems.iter_mut()) {
            let ring = problem.more["ring"].as_str().unwrap_or_default();
            if problem.kind == "missing" && damage.contains(ring) {
                problem.kind = "damaged";
                problem.text = problem.text.replacen(
                    "missing",
                    "lost, because something other than logspool damaged the spool",
                    1,
                );
            }
        }
    }

    /// The logs in which a writer at work may have made it seem that something is missing.
    pub fn uncertain(&self) -> Vec<String> {
        let uncertain = self.logs.iter().filter(|l| l.uncertain);
        uncertain.map(|l| l.name.clone()).collect()
    }
}
