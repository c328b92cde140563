//! How often each rule has struck, in the whole process, by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::fork;
use crate::sync::Mutex;

/// One rule's counter. It lives as long as the process: rules come from settings, and those are few.
#[derive(Debug)]
pub struct Counter {
    name: String,
    count: AtomicU64,
    /// Below which number of forks it counts: a child starts at 0.
    forks: AtomicU64,
}

static COUNTERS: Mutex<Vec<&'static Counter>> = Mutex::new(Vec::new());

impl Counter {
    /// The counter of the rule `name`, the same for every set of settings.
    pub fn named(name: &str) -> &'static Self {
        let mut counters = COUNTERS.lock();
        if let Some(found) = counters.iter().find(|counter| counter.name == name) {
            return found;
        }
        let counter: &'static Self = Box::leak(Box::new(Self {
            name: name.to_owned(),
            count: AtomicU64::new(0),
            forks: AtomicU64::new(fork::forks()),
        }));
        counters.push(counter);
        counter
    }

    /// Once more.
    pub fn add(&self) {
        let forks = fork::forks();
        if self.forks.load(Relaxed) != forks {
            self.forks.store(forks, Relaxed);
            self.count.store(0, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        if self.forks.load(Relaxed) == fork::forks() {
            self.count.load(Relaxed)
        } else {
            0
        }
    }
}

/// The rules that have struck in this process, and how often.
pub fn counts() -> BTreeMap<String, u64> {
    let counters = COUNTERS.lock();
    counters
        .iter()
        .map(|counter| (counter.name.clone(), counter.get()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_counter_and_unused_ones_are_not_shown() {
        let (a, b) = (
            Counter::named("counts test a"),
            Counter::named("counts test a"),
        );
        assert!(std::ptr::eq(a, b));
        Counter::named("counts test b");
        a.add();
        b.add();
        let counts = counts();
        assert_eq!(counts.get("counts test a"), Some(&2));
        assert_eq!(counts.get("counts test b"), None);
    }
}
