//! Stub until the crate arrives.
#![allow(missing_docs, reason = "replaced by the real crate within the hour")]
pub mod clock {
    pub trait Clock: Send + Sync + 'static {
        fn now(&self) -> chrono::DateTime<chrono::Utc>;
    }
    pub fn new_id(clock: &dyn Clock) -> uuid::Uuid {
        uuid::Builder::from_unix_timestamp_millis(
            clock.now().timestamp_millis().unsigned_abs(),
            &rand::random(),
        )
        .into_uuid()
    }
}
pub mod keys;
pub mod settings;
