//! Reading settings from the environment, once, with one-line complaints.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A setting that stops the start: one line naming the variable and what it accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: `{value}` is not accepted. It takes {accepts}.")]
pub struct BadSetting {
    /// The variable.
    pub name: String,
    /// What it was set to, shortened.
    pub value: String,
    /// What it takes.
    pub accepts: String,
}

/// Looks settings up and remembers which were asked for, so that a test can hold `.env.example` against the programs.
pub struct Reader {
    lookup: Box<dyn Fn(&str) -> Option<String>>,
    asked: RefCell<Vec<(String, String)>>,
}

impl Reader {
    /// Reads the process's environment. An empty variable counts as unset.
    #[must_use]
    pub fn environment() -> Reader {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads the environment"
        )]
        Reader::new(|name| std::env::var(name).ok())
    }

    /// Reads from anything else.
    #[must_use]
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'static) -> Reader {
        Reader {
            lookup: Box::new(lookup),
            asked: RefCell::default(),
        }
    }

    /// The value of a setting that has no default.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        self.asked
            .borrow_mut()
            .push((name.to_owned(), String::new()));
        self.value(name)
    }

    /// The value of a setting, or its default, parsed.
    ///
    /// # Errors
    /// [`BadSetting`] when it does not parse; `accepts` completes the sentence "It takes …".
    pub fn parsed<T: FromStr>(
        &self,
        name: &str,
        default: &str,
        accepts: &str,
    ) -> Result<T, BadSetting> {
        self.checked(name, default, accepts, |text| text.parse().ok())
    }

    /// The value of a setting, or its default, read by `read`.
    ///
    /// # Errors
    /// [`BadSetting`] when `read` does not take it.
    pub fn checked<T>(
        &self,
        name: &str,
        default: &str,
        accepts: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BadSetting> {
        self.asked
            .borrow_mut()
            .push((name.to_owned(), default.to_owned()));
        let value = self.value(name).unwrap_or_else(|| default.to_owned());
        read(&value).ok_or_else(|| BadSetting {
            name: name.to_owned(),
            value: value.chars().take(80).collect(),
            accepts: accepts.to_owned(),
        })
    }

    /// A whole number between two bounds.
    ///
    /// # Errors
    /// [`BadSetting`] outside them.
    pub fn number(
        &self,
        name: &str,
        default: u32,
        least: u32,
        most: u32,
    ) -> Result<u32, BadSetting> {
        let accepts = format!("a whole number from {least} to {most}");
        self.checked(name, &default.to_string(), &accepts, |text| {
            text.parse().ok().filter(|n| (least..=most).contains(n))
        })
    }

    /// A list with commas between; empty for none.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        self.optional(name)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Where data lives: `COUNTERSIGN_HOME`, else the user's data folder, never relative to the working directory.
    ///
    /// # Errors
    /// [`BadSetting`] for a relative path, or when there is no home directory to derive it from.
    pub fn home(&self) -> Result<PathBuf, BadSetting> {
        let bad = |value: String| BadSetting {
            name: "COUNTERSIGN_HOME".to_owned(),
            value,
            accepts: "an absolute path of a folder we may write to".to_owned(),
        };
        if let Some(given) = self.optional("COUNTERSIGN_HOME") {
            return if Path::new(&given).is_absolute() {
                Ok(PathBuf::from(given))
            } else {
                Err(bad(given))
            };
        }
        if nix::unistd::Uid::effective().is_root() {
            return Ok(PathBuf::from("/var/lib/countersign"));
        }
        let absolute = |name: &str| {
            (self.lookup)(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map(|data| data.join("countersign"))
            .ok_or_else(|| bad(String::new()))
    }

    /// Name and default of every setting asked for so far.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, String)> {
        self.asked.borrow().clone()
    }

    fn value(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|v| v.trim().to_owned())
            .filter(|v| !v.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(pairs: &'static [(&'static str, &'static str)]) -> Reader {
        Reader::new(|name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_accepted() {
        let settings = reader(&[("MCP_BIND", "nonsense"), ("DATABASE_POOL_SIZE", "0")]);
        let bind = settings.parsed::<std::net::SocketAddr>(
            "MCP_BIND",
            "127.0.0.1:8001",
            "an address and port",
        );
        assert_eq!(
            bind.unwrap_err().to_string(),
            "MCP_BIND: `nonsense` is not accepted. It takes an address and port."
        );
        let pool = settings.number("DATABASE_POOL_SIZE", 10, 1, 500);
        assert_eq!(
            pool.unwrap_err().to_string(),
            "DATABASE_POOL_SIZE: `0` is not accepted. It takes a whole number from 1 to 500."
        );
    }

    #[test]
    fn the_home_is_never_relative() {
        assert!(reader(&[("COUNTERSIGN_HOME", "data")]).home().is_err());
        assert_eq!(
            reader(&[("COUNTERSIGN_HOME", "/srv/shop")]).home().unwrap(),
            PathBuf::from("/srv/shop")
        );
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let settings = reader(&[("DATABASE_URL", "  ")]);
        assert_eq!(settings.optional("DATABASE_URL"), None);
        assert_eq!(settings.list("MCP_ALLOWED_HOSTS"), Vec::<String>::new());
        assert_eq!(settings.asked().len(), 2);
    }
}
