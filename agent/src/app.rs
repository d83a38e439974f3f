//! What the edges need of the process. Stands in until the engine's own file arrives.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use migrations::clock::Clock;

use crate::config::Config;
use crate::turns::Script;

/// The clock as it is passed around.
pub type SharedClock = Arc<dyn Clock>;

/// The process.
pub struct App {
    /// The settings.
    pub settings: Config,
    /// The time.
    pub clock: SharedClock,
    /// What the scripted engine holds.
    pub script: Mutex<Script>,
}

impl App {
    /// An app whose engine is scripted.
    #[must_use]
    pub fn scripted(settings: Config) -> Arc<App> {
        Arc::new(App {
            settings,
            clock: Arc::new(MachineClock),
            script: Mutex::new(Script::default()),
        })
    }
}

struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "stands in for the one clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
