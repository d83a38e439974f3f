//! Passwords at rest: Argon2id (RFC 9106) in PHC form, and the few that are looked at at once.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;

/// Memory of one hash, KiB. With [`PASSES`] and [`LANES`] the setting that OWASP's Password Storage Cheat Sheet names first.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Threads of one hash.
const LANES: u32 = 1;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Hashes at once: a flood of log-ins gets two processors and forty megabytes, never the machine.
const AT_ONCE: usize = 2;
/// Log-ins that may be under way or wait for one of them; more are told to come back.
const WAITING_MAX: usize = 64;
/// Shortest password, characters.
pub(crate) const CHARS_MIN: usize = 12;
/// Longest password, characters.
pub(crate) const CHARS_MAX: usize = 128;
/// Groups of a generated password.
const GROUPS: usize = 5;
/// Letters of each of them. Thirty-two letters to choose from, so a hundred bits in all.
const GROUP_CHARS: usize = 4;
/// What generated passwords are made of: nothing that is read as something else.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Hashes passwords, a few at once.
pub struct Passwords {
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords {
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }
}

/// Why a password was not looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Too many others wait.
    #[error("too many log-ins at once")]
    Busy,
    /// What is stored is no hash of ours, or the library failed.
    #[error("password hash: {0}")]
    Broken(String),
}

/// What a password was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// Another one, or there is none.
    Wrong,
    /// The one.
    Right,
    /// The one, kept with parameters that are no longer ours: to be hashed again.
    RightButOld,
}

impl Passwords {
    /// The hash to store.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub(crate) async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.apart(move || hashed(&password)).await
    }

    /// Whether it is the stored one. Where none is stored it costs the same and is wrong.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub(crate) async fn check(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<Checked, PasswordError> {
        self.apart(move || match stored {
            Some(stored) => checked(&password, &stored),
            None => checked(&password, &nobodys()).map(|_| Checked::Wrong),
        })
        .await
    }

    /// Away from the threads that serve, a few at once.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self
            .waiting
            .try_acquire()
            .map_err(|_| PasswordError::Busy)?;
        let turn = Arc::clone(&self.at_once).acquire_owned().await;
        let turn = turn.map_err(|e| PasswordError::Broken(e.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work ends: whoever goes away meanwhile makes no room for another.
            let _turn = turn;
            work()
        });
        let done = done
            .await
            .map_err(|e| PasswordError::Broken(e.to_string()))?;
        done.map_err(PasswordError::Broken)
    }
}

fn argon2() -> Result<Argon2<'static>, String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES));
    let params = params.map_err(|e| e.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hashed(password: &str) -> Result<String, String> {
    let salt: [u8; 16] = rand::random();
    let hash = argon2()?.hash_password_with_salt(password.as_bytes(), &salt);
    Ok(hash.map_err(|e| e.to_string())?.to_string())
}

fn checked(password: &str, stored: &str) -> Result<Checked, String> {
    let stored = PasswordHash::new(stored).map_err(|e| e.to_string())?;
    let ours = argon2()?;
    match ours.verify_password(password.as_bytes(), &stored) {
        Ok(()) if is_current(&stored, ours.params()) => Ok(Checked::Right),
        Ok(()) => Ok(Checked::RightButOld),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Checked::Wrong),
        Err(error) => Err(error.to_string()),
    }
}

fn is_current(stored: &PasswordHash, ours: &Params) -> bool {
    let costs = |p: &Params| (p.m_cost(), p.t_cost(), p.p_cost());
    stored.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && Params::try_from(stored).is_ok_and(|params| costs(&params) == costs(ours))
}

/// A hash of no password at all, which costs what ours cost.
fn nobodys() -> String {
    let (salt, hash) = ("A".repeat(22), "A".repeat(43));
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}")
}

/// A password nobody has to think of: "kx7q-m2ew-…".
#[must_use]
pub(crate) fn generated() -> String {
    let random: [u8; GROUPS * GROUP_CHARS] = rand::random();
    let letters: Vec<char> = random
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect();
    let groups: Vec<String> = letters
        .chunks(GROUP_CHARS)
        .map(|g| g.iter().collect())
        .collect();
    groups.join("-")
}

/// What is wrong with a password somebody chose; `known` are words of theirs that others know.
///
/// # Errors
/// A sentence for the person.
pub(crate) fn acceptable(password: &str, known: &[&str]) -> Result<(), String> {
    let chars = password.chars().count();
    if !(CHARS_MIN..=CHARS_MAX).contains(&chars) {
        return Err(format!(
            "A password has {CHARS_MIN} to {CHARS_MAX} characters. A few words in a row are easy to keep in mind."
        ));
    }
    if password.chars().any(char::is_control) {
        return Err("A password has no line breaks or other control characters in it.".to_owned());
    }
    let first = password.chars().next();
    let folded = password.to_lowercase();
    if password.chars().all(|c| Some(c) == first)
        || known.iter().any(|word| folded == word.to_lowercase())
    {
        return Err("Choose a password that cannot be guessed from the name.".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let passwords = Passwords::default();
        let stored = passwords
            .hash("correct horse battery".to_owned())
            .await
            .unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        let check = async |password: &str, stored: &str| {
            let (password, stored) = (password.to_owned(), Some(stored.to_owned()));
            passwords.check(password, stored).await.unwrap()
        };
        assert_eq!(
            check("correct horse battery", &stored).await,
            Checked::Right
        );
        assert_eq!(
            check("correct horse batterz", &stored).await,
            Checked::Wrong
        );
        let again = passwords
            .hash("correct horse battery".to_owned())
            .await
            .unwrap();
        assert_ne!(again, stored, "salted");
        // What an older release kept: the same password, half the memory.
        let weak = Params::new(MEMORY_KIB / 2, PASSES, LANES, None).unwrap();
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, weak);
        let weak = weak.hash_password_with_salt(b"correct horse battery", &[7; 16]);
        let weak = weak.unwrap().to_string();
        assert_eq!(
            check("correct horse battery", &weak).await,
            Checked::RightButOld
        );
        assert_eq!(check("another", &weak).await, Checked::Wrong);
        let broken = passwords
            .check("x".to_owned(), Some("plain text".to_owned()))
            .await;
        assert!(
            matches!(broken, Err(PasswordError::Broken(_))),
            "{broken:?}"
        );
    }

    #[tokio::test]
    async fn nobodys_password_costs_what_somebodys_does() {
        let stored = PasswordHash::new(&nobodys()).unwrap();
        assert!(is_current(&stored, argon2().unwrap().params()));
        let passwords = Passwords::default();
        for guess in ["", "a", "correct horse battery"] {
            let checked = passwords.check(guess.to_owned(), None).await.unwrap();
            assert_eq!(checked, Checked::Wrong);
        }
    }

    #[tokio::test]
    async fn a_flood_is_told_to_come_back() {
        let passwords = Passwords::default();
        let _all = passwords.waiting.try_acquire_many(64).unwrap();
        let refused = passwords.check("x".to_owned(), None).await;
        assert!(matches!(refused, Err(PasswordError::Busy)), "{refused:?}");
    }

    #[test]
    fn generated_passwords_differ_and_chosen_ones_are_long_enough() {
        let one = generated();
        assert_eq!(one.len(), GROUPS * GROUP_CHARS + GROUPS - 1);
        assert_ne!(one, generated());
        assert!(acceptable(&one, &["ana"]).is_ok());
        for bad in [
            "short",
            "aaaaaaaaaaaaaa",
            "Ana-Maria-Gomez",
            "with\nline breaks",
            &"x1".repeat(70),
        ] {
            assert!(acceptable(bad, &["ana-maria-gomez"]).is_err(), "{bad}");
        }
    }
}
