//! How far the work is, for a client that gave a token for it. Most calls are answered in milliseconds and say nothing on the way; what
//! takes longer says that it goes on, so that no client gives up on it. Over HTTP the first such word makes the reply a stream.

use std::time::Duration;

use rmcp::model::ProgressNotificationParam;
use rmcp::service::{RequestContext, RoleServer};

/// How long a call may say nothing.
const SILENCE: Duration = Duration::from_secs(1);

/// The way to one client.
#[derive(Clone, Copy)]
pub(super) struct Progress<'a>(&'a RequestContext<RoleServer>);

impl<'a> Progress<'a> {
    /// Of this request.
    pub(super) const fn of(context: &'a RequestContext<RoleServer>) -> Progress<'a> {
        Progress(context)
    }

    /// Says that `done` steps are done. Whether it was asked for and sent.
    pub(super) async fn say(self, done: usize, of: Option<usize>) -> bool {
        let Some(token) = self.0.meta.get_progress_token() else {
            return false;
        };
        let exact = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let mut step = ProgressNotificationParam::new(token, exact(done));
        step.total = of.map(exact);
        // Whoever cannot be told misses nothing but this.
        let sent = self.0.peer.notify_progress(step).await;
        sent.inspect_err(|error| tracing::debug!(%error, "progress could not be told"))
            .is_ok()
    }

    /// Does the work, and says every second how many it has taken. The work's outcome, and whether anything was said.
    pub(super) async fn during<T>(self, work: impl Future<Output = T>) -> (T, bool) {
        let mut work = std::pin::pin!(work);
        let mut told = false;
        let mut seconds = 0;
        loop {
            match tokio::time::timeout(SILENCE, &mut work).await {
                Ok(done) => return (done, told),
                Err(_elapsed) => {
                    seconds += 1;
                    told |= self.say(seconds, None).await;
                }
            }
        }
    }
}
