//! What a look at a deployment finds: a line each, and what to do where something is wrong.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It works, and somebody should know.
    Warn,
    /// It does not work, or must not be left so.
    Fail,
}

/// One thing that was looked at. `Display` is its line: the verdict, what was looked at, what was found and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was looked at: a few words.
    pub what: &'static str,
    /// What was found, and what to do about it unless it is fine. Holds no secret.
    pub found: String,
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn fine(what: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Fine,
            what,
            found: found.into(),
        }
    }

    /// It works, and somebody should know.
    #[must_use]
    pub fn warn(what: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Warn,
            ..Finding::fine(what, found)
        }
    }

    /// It does not work, or must not be left so.
    #[must_use]
    pub fn fail(what: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Fail,
            ..Finding::fine(what, found)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fine => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        // One line, whatever an error brought along.
        let found = self.found.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(out, "{verdict:<4}  {}: {found}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding::fail("database", "run these:\n\ngrant a to b;");
        assert_eq!(
            finding.to_string(),
            "FAIL  database: run these: grant a to b;"
        );
        assert!(Verdict::Fine < Verdict::Warn && Verdict::Warn < Verdict::Fail);
    }
}
