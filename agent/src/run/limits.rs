//! Limits that are kept per process: tools that keep failing are switched off for a while.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Faults in a row that switch a tool off.
const FAULTS_MAX: u32 = 5;
/// For how long.
const OFF: Duration = Duration::from_secs(30);

/// Counts faults per tool. Refusals are answers, not faults.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<HashMap<String, Faults>>);

#[derive(Debug, Clone, Copy)]
struct Faults {
    in_a_row: u32,
    since: Instant,
}

impl Breaker {
    /// Whether the tool may be called now. After a while one call is let through to see.
    #[must_use]
    pub fn admits(&self, tool: &str, now: Instant) -> bool {
        let faults = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        faults
            .get(tool)
            .is_none_or(|f| f.in_a_row < FAULTS_MAX || now.duration_since(f.since) >= OFF)
    }

    /// The tool answered.
    pub fn answered(&self, tool: &str) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(tool);
    }

    /// The tool failed.
    pub fn failed(&self, tool: &str, now: Instant) {
        let mut faults = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = faults.entry(tool.to_owned()).or_insert(Faults {
            in_a_row: 0,
            since: now,
        });
        entry.in_a_row += 1;
        entry.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_keeps_failing_rests_and_is_tried_again() {
        let breaker = Breaker::default();
        let now = Instant::now();
        for _ in 0..FAULTS_MAX {
            assert!(breaker.admits("bill", now));
            breaker.failed("bill", now);
        }
        assert!(!breaker.admits("bill", now));
        assert!(breaker.admits("list", now), "the others go on");
        assert!(breaker.admits("bill", now + OFF));
        breaker.failed("bill", now + OFF);
        assert!(!breaker.admits("bill", now + OFF), "still failing");
        breaker.answered("bill");
        assert!(breaker.admits("bill", now + OFF));
    }
}
