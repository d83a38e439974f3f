//! Why a worker stops with a run that is not over.

use crate::run::journal::FlushError;

/// Why a run stops here without being over.
pub(super) enum Stopped {
    /// Another worker has it, or will: nothing more to do.
    Leave,
    /// The run fails.
    Fail {
        message: &'static str,
        unavailable: bool,
        cause: String,
    },
}

impl From<FlushError> for Stopped {
    fn from(error: FlushError) -> Stopped {
        match error {
            // An answer that has come is taken up by whoever holds the run; only a flush that waits tells of one.
            FlushError::LeaseLost | FlushError::Answered(_) => Stopped::Leave,
            // The lease lapses and somebody goes on from the last flush, as soon as there is a database again.
            FlushError::Database(error) => {
                tracing::warn!(%error, "run left for later");
                Stopped::Leave
            }
        }
    }
}

/// The tool server is away, and nothing can have happened.
pub(super) fn unreachable(cause: String) -> Stopped {
    Stopped::Fail {
        message: "Unable to reach the system. Please try again.",
        unavailable: true,
        cause,
    }
}
