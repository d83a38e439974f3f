//! What can go wrong in a call: a refusal for the person, or a fault for the log.

use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;

/// Why a call did nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The business says no. The answer is stored under the idempotency key like any other.
    #[error("refused: {0}")]
    Refused(#[from] ToolFailure),
    /// The database failed, or answered what it never should. Rolled back, not stored, logged once at the boundary.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The connection was lost in the middle of the commit: whether it was done is not known.
    #[error("commit not confirmed: {0}")]
    NotConfirmed(sqlx::Error),
    /// Something we promised ourselves is not true.
    #[error("broken: {0}")]
    Broken(String),
}

impl CallError {
    /// What a failed commit means: with the connection gone, its answer may have been on the way.
    #[must_use]
    pub fn of_commit(error: sqlx::Error) -> CallError {
        if is_lost(&error) {
            CallError::NotConfirmed(error)
        } else {
            CallError::Database(error)
        }
    }

    /// The name of the constraint that was violated, if that is what happened.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            CallError::Database(sqlx::Error::Database(e)) => e.constraint(),
            CallError::Refused(_)
            | CallError::Database(_)
            | CallError::NotConfirmed(_)
            | CallError::Broken(_) => None,
        }
    }

    /// Worth trying again at once: a deadlock or a serialization failure.
    #[must_use]
    pub fn is_transient_conflict(&self) -> bool {
        match self {
            CallError::Database(sqlx::Error::Database(e)) => {
                matches!(e.code().as_deref(), Some("40001" | "40P01"))
            }
            CallError::Refused(_)
            | CallError::Database(_)
            | CallError::NotConfirmed(_)
            | CallError::Broken(_) => false,
        }
    }

    /// The answer the caller gets. Faults say nothing about their cause.
    #[must_use]
    pub fn into_failure(self, locale: Locale) -> ToolFailure {
        match self {
            CallError::Refused(failure) => failure,
            CallError::Database(error) if is_timeout(&error) => timeout(locale),
            CallError::Database(error) if is_lost(&error) => unavailable(locale),
            // `unavailable` would say that nothing was done.
            CallError::NotConfirmed(_) => timeout(locale),
            CallError::Database(_) | CallError::Broken(_) => internal(locale),
        }
    }
}

/// The call took too long.
#[must_use]
pub fn timeout(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "This took too long and was stopped.",
        Locale::Es => "Esto tardó demasiado y se detuvo.",
    };
    ToolFailure::new(
        FailureCode::Timeout,
        message,
        "Repeat the call with the same idempotency_key: if it was done after all, you get its answer.",
    )
}

/// The database cannot be reached.
#[must_use]
pub fn unavailable(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "Unable to reach the system. Please try again.",
        Locale::Es => "No se puede acceder al sistema. Inténtelo de nuevo.",
    };
    ToolFailure::new(
        FailureCode::Unavailable,
        message,
        "Repeat the call with the same idempotency_key in a few seconds.",
    )
}

/// Our fault.
#[must_use]
pub fn internal(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "System error. Please try again.",
        Locale::Es => "Error del sistema. Inténtelo de nuevo.",
    };
    ToolFailure::new(
        FailureCode::Internal,
        message,
        "Nothing was done. Report it with the time of the call if it happens again.",
    )
}

/// `statement_timeout`, or a cancel from outside.
fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if e.code().as_deref() == Some("57014"))
}

/// The connection is gone, or none is to be had. 57P01 to 57P03: the server is going down or coming up; 08: connection trouble;
/// 53300: no connection left.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(e) => e
            .code()
            .is_some_and(|c| c.starts_with("57P") || c.starts_with("08") || c == "53300"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_lost_in_the_commit_is_not_said_to_have_done_nothing() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        let code = |error: CallError| error.into_failure(Locale::En).code;
        assert_eq!(code(CallError::Database(lost())), FailureCode::Unavailable);
        assert_eq!(code(CallError::of_commit(lost())), FailureCode::Timeout);
        let other = CallError::of_commit(sqlx::Error::RowNotFound);
        assert_eq!(code(other), FailureCode::Internal);
    }
}
