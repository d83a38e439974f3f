//! What time it is, and ids that carry it. Time is a parameter everywhere, so that a test can move it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

/// Digits after the second that Postgres stores. A finer time would differ from itself after a round trip.
const STORED_DIGITS: u16 = 6;

/// Something that knows what time it is.
pub trait Clock: Send + Sync + 'static {
    /// The present moment in UTC, to the microsecond.
    fn now(&self) -> DateTime<Utc>;
}

/// The clock as programs pass it around: one per process.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for the time"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(STORED_DIGITS)
    }
}

/// The machine's time plus an offset read from a small file at every call, so that a test moves the time of the processes it
/// started by writing the file. The file holds whole seconds, such as `3600` or `-90`. A file that is missing, unreadable or not a
/// number means no offset.
#[derive(Debug, Clone)]
pub struct MovableClock {
    offset_file: PathBuf,
}

impl MovableClock {
    /// A clock that reads its offset from `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            offset_file: path.into(),
        }
    }

    fn offset(&self) -> TimeDelta {
        std::fs::read_to_string(&self.offset_file)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .and_then(TimeDelta::try_seconds)
            .unwrap_or_else(TimeDelta::zero)
    }
}

impl Clock for MovableClock {
    fn now(&self) -> DateTime<Utc> {
        let now = SystemClock.now();
        now.checked_add_signed(self.offset()).unwrap_or(now)
    }
}

/// The clock a program was told to use: `path` is the setting `COUNTERSIGN_CLOCK_OFFSET_FILE`, nothing outside tests.
#[must_use]
pub fn from_setting(path: Option<&Path>) -> SharedClock {
    match path {
        Some(path) => Arc::new(MovableClock::new(path)),
        None => Arc::new(SystemClock),
    }
}

/// The millisecond of the last id, and the last count within it.
static LAST_ID: Mutex<(u64, u16)> = Mutex::new((0, 0));
/// Counts of a millisecond begin below this, by chance, so that there is room for as many more in the 12 bits of a count.
const FIRST_COUNT_MAX: u16 = 1 << 10;
/// The largest count.
const COUNT_MAX: u16 = (1 << 12) - 1;

/// A new id (UUID version 7): the clock's time to the millisecond, a count within it (RFC 9562, section 6.2, method 1), then 62 random
/// bits. Ids sort by time, which keeps indexes compact, and what one process makes within a millisecond sorts in the order it was made;
/// beyond three thousand of them the rest sort by chance.
#[must_use]
pub fn new_id(clock: &dyn Clock) -> Uuid {
    // A time before 1970 cannot be written in an id; only a badly moved test clock gets there.
    let millis = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
    let count = {
        let mut last = LAST_ID.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match *last {
            (at, count) if at == millis => count.saturating_add(1).min(COUNT_MAX),
            _ => rand::random_range(0..FIRST_COUNT_MAX),
        };
        *last = (millis, count);
        count
    };
    let mut bytes = rand::random::<[u8; 10]>();
    let [high, low] = count.to_be_bytes();
    (bytes[0], bytes[1]) = (high, low);
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_being_stored_with_microseconds() {
        let now = SystemClock.now();
        assert_eq!(now.timestamp_subsec_nanos() % 1_000, 0);
    }

    #[test]
    fn a_movable_clock_follows_its_file_and_ignores_what_is_not_a_number() {
        let file = std::env::temp_dir().join(format!("{}.offset", new_id(&SystemClock)));
        let clock = from_setting(Some(&file));
        let drift_s = || (clock.now() - SystemClock.now()).num_seconds();

        assert_eq!(drift_s(), 0, "a missing file means no offset");
        for (text, offset_s) in [("3600\n", 3_600), ("-90", -90)] {
            std::fs::write(&file, text).unwrap();
            assert!((drift_s() - offset_s).abs() <= 1, "{text:?}");
        }
        for text in ["", "soon", "1.5", "9223372036854775807"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(drift_s(), 0, "{text:?}");
        }
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn ids_carry_the_time_and_differ() {
        struct Fixed;
        impl Clock for Fixed {
            fn now(&self) -> DateTime<Utc> {
                DateTime::from_timestamp_millis(1_795_000_000_123).unwrap()
            }
        }
        let (one, other) = (new_id(&Fixed), new_id(&Fixed));
        assert_ne!(one, other);
        assert_eq!(one.get_version_num(), 7);
        let seconds_and_nanos = one.get_timestamp().unwrap().to_unix();
        assert_eq!(seconds_and_nanos, (1_795_000_000, 123_000_000));
        let many: Vec<Uuid> = (0..1_000).map(|_| new_id(&Fixed)).collect();
        assert!(many.is_sorted(), "in the order they were made");
    }
}
