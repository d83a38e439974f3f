//! How many requests are taken of whom. Per process: N replicas take N times as many.
//!
//! A principal is known by business and subject, so that several keys of one person count together and no business costs another. The local
//! owner is not limited.
//!
//! Bad credentials are counted by the address they come from. Where a proxy stands before the server that is the proxy's address, so that
//! the count is one for everybody behind it; whose credential has been good within the hour is let in all the same, and so is a signed
//! token, because both are told from a guess without a look-up. What is slowed down is trying keys and sessions that nobody has used.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::caller::{Caller, Door, LOCAL_OWNER};
use contracts::ids::TenantId;

/// Bad credentials taken of one address in a minute.
const GUESSES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// Principals, and addresses, whose counts are kept. While there are more, they share [`SHARED`] counts.
const COUNTED_MAX: usize = 50_000;
/// How often counts that have run out are dropped.
const CLEAN_EVERY: Duration = Duration::from_secs(30);
/// Counts that are shared while there are too many, named by the numbers below this.
const SHARED: u64 = 1024;

/// Too much: how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// Whole seconds, at least one.
    pub retry_after_s: u64,
}

impl TooMany {
    fn after(wait: Duration) -> TooMany {
        TooMany {
            retry_after_s: wait.as_secs().saturating_add(1),
        }
    }
}

/// The counts of one process.
pub struct Limits {
    principals: Option<Counts>,
    guesses: Counts,
    /// Addresses that have guessed too often, and until when.
    resting: moka::sync::Cache<u64, Instant>,
}

impl Limits {
    /// `per_minute` requests of each principal, a tenth of them at once; 0 for no limit.
    #[must_use]
    pub fn new(per_minute: u32) -> Limits {
        let quota = NonZeroU32::new(per_minute).map(|per_minute| {
            let burst = NonZeroU32::new(per_minute.get() / 10).unwrap_or(NonZeroU32::MIN);
            Quota::per_minute(per_minute).allow_burst(burst)
        });
        Limits {
            principals: quota.map(Counts::new),
            guesses: Counts::new(Quota::per_minute(GUESSES_PER_MINUTE)),
            resting: moka::sync::Cache::builder()
                .max_capacity(COUNTED_MAX as u64)
                .time_to_live(Duration::from_secs(60))
                .build(),
        }
    }

    /// Counts one request of a principal.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn request(&self, caller: &Caller, local_mode: bool) -> Result<(), TooMany> {
        // Behind our own agent on this machine stands the local owner, too.
        let local_owner = caller.door == Door::Local
            || (local_mode && caller.tenant == TenantId::DEMO && caller.subject == LOCAL_OWNER);
        match &self.principals {
            Some(counts) if !local_owner => counts.count(&(caller.tenant, &caller.subject)),
            _ => Ok(()),
        }
    }

    /// Whether this address may try a credential that nobody has used lately.
    ///
    /// # Errors
    /// When it has tried too many.
    pub fn may_guess(&self, peer: Option<IpAddr>) -> Result<(), TooMany> {
        let Some(peer) = peer else { return Ok(()) };
        let now = Instant::now();
        match self.resting.get(&self.guesses.name(&network(peer))) {
            Some(until) if until > now => Err(TooMany::after(until - now)),
            _ => Ok(()),
        }
    }

    /// Counts a bad credential from this address.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn guessed(&self, peer: Option<IpAddr>) -> Result<(), TooMany> {
        let Some(peer) = peer else { return Ok(()) };
        let counted = self.guesses.count(&network(peer));
        if let Err(too_many) = counted {
            let until = Instant::now() + Duration::from_secs(too_many.retry_after_s);
            let name = self.guesses.name(&network(peer));
            self.resting.insert(name, until);
        }
        counted
    }
}

/// Whoever has one address of IPv6 has all of its network.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

/// Counts by the hash of a name that nobody outside can compute: small, and of one size whatever the names are.
struct Counts {
    limiter: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
    cleaned: Mutex<Instant>,
    most: usize,
}

impl Counts {
    fn new(quota: Quota) -> Counts {
        Counts {
            limiter: RateLimiter::keyed(quota),
            hasher: RandomState::new(),
            cleaned: Mutex::new(Instant::now()),
            most: COUNTED_MAX,
        }
    }

    fn name(&self, whom: &impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(whom).max(SHARED)
    }

    fn count(&self, whom: &impl std::hash::Hash) -> Result<(), TooMany> {
        let full = self.clean() >= self.most;
        let name = self.name(whom);
        let name = if full { name % SHARED } else { name };
        self.limiter
            .check_key(&name)
            .map_err(|until| TooMany::after(until.wait_time_from(DefaultClock::default().now())))
    }

    /// Drops counts that have run out, now and then, and says how many there are.
    fn clean(&self) -> usize {
        if let Ok(mut cleaned) = self.cleaned.try_lock()
            && cleaned.elapsed() >= CLEAN_EVERY
        {
            *cleaned = Instant::now();
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.len()
    }
}

#[cfg(test)]
mod tests {
    use contracts::scope::Reach;
    use contracts::token::PrincipalRole;
    use uuid::Uuid;

    use super::*;

    fn caller(tenant: u128, subject: &str) -> Caller {
        Caller {
            tenant: TenantId(Uuid::from_u128(tenant)),
            subject: subject.to_owned(),
            role: PrincipalRole::Staff,
            customer: None,
            reach: Reach::EVERYTHING,
            door: Door::Token,
        }
    }

    fn taken(limits: &Limits, caller: &Caller) -> usize {
        (0..100)
            .take_while(|_| limits.request(caller, false).is_ok())
            .count()
    }

    #[test]
    fn each_principal_of_each_business_has_a_count_of_its_own() {
        let limits = Limits::new(100);
        let ana = caller(1, "ana");
        assert_eq!(taken(&limits, &ana), 10, "a tenth at once");
        let wait = limits.request(&ana, false).unwrap_err().retry_after_s;
        assert_eq!(wait, 1, "a hundred a minute is more than one a second");
        assert_eq!(taken(&limits, &caller(1, "bo")), 10);
        assert_eq!(taken(&limits, &caller(2, "ana")), 10);
        assert_eq!(taken(&Limits::new(0), &ana), 100, "off");
        let owner = Caller::local_owner();
        assert_eq!(taken(&limits, &owner), 100);
        let behind_agent = Caller {
            door: Door::Agent { decided_by: None },
            ..owner
        };
        assert!((0..100).all(|_| limits.request(&behind_agent, true).is_ok()));
        assert_eq!(taken(&limits, &behind_agent), 10, "not in local mode");
    }

    #[test]
    fn guessing_is_slow_for_a_whole_network_and_for_nobody_else() {
        let limits = Limits::new(0);
        let peer = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let guesses = (0..200)
            .take_while(|_| limits.guessed(peer("2001:db8::1")).is_ok())
            .count();
        assert_eq!(guesses, 60);
        assert!(limits.may_guess(peer("2001:db8::2")).is_err());
        assert!(limits.may_guess(peer("2001:db8:0:1::1")).is_ok());
        assert!(limits.may_guess(peer("192.0.2.1")).is_ok());
        assert!(limits.may_guess(None).is_ok(), "no peer: in this process");
    }

    #[test]
    fn a_flood_of_names_takes_no_more_room() {
        let mut counts = Counts::new(Quota::per_minute(GUESSES_PER_MINUTE));
        counts.most = 100;
        for n in 0..10_000 {
            let _ = counts.count(&n);
        }
        assert!(counts.limiter.len() <= 1_124, "{}", counts.limiter.len());
    }
}
