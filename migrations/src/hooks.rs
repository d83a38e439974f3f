//! Named places of a program where a test may stop or break it. The product sets none.
//!
//! In `mcp-server`: `tool:<name>` before a tool runs, `committed:<name>` after its commit and before its answer. In `agent`: `answered` (the
//! model has answered, nothing is stored), `read` (reads have been answered, nothing is stored), `approved` (a person's answer is stored, not
//! passed on), `dispatched` (about to be passed on), `returned` (the server has answered, nothing is stored), `stored` (the result is stored,
//! the model has not been asked again).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// What a hook does at a place.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Awaited at every named place.
#[derive(Clone, Default)]
pub struct Hooks(Option<Arc<dyn Fn(&'static str) -> Stop + Send + Sync>>);

impl Hooks {
    /// Awaits `hook` at every place.
    #[must_use]
    pub fn new(hook: impl Fn(&'static str) -> Stop + Send + Sync + 'static) -> Hooks {
        Hooks(Some(Arc::new(hook)))
    }

    /// The program is at this place.
    pub async fn at(&self, place: &'static str) {
        if let Some(hook) = &self.0 {
            hook(place).await;
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Hooks(set)"
        } else {
            "Hooks(none)"
        })
    }
}
