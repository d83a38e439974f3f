//! Secret keys of one installation: given as a setting, else kept in a file of the home that only its owner can read.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// 256 bits.
pub type Key = [u8; 32];

/// Shortest text accepted as a key, bytes.
pub const KEY_TEXT_BYTES_MIN: usize = 32;

/// The key a setting gives: any text of at least 32 bytes, digested. `None` when it is shorter.
#[must_use]
pub fn from_text(text: &str) -> Option<Key> {
    (text.len() >= KEY_TEXT_BYTES_MIN).then(|| Sha256::digest(text.as_bytes()).into())
}

/// The key in `home/keys/<name>`, made when it is not there. Two programs that make it at once agree on one.
///
/// # Errors
/// One sentence when the file cannot be read or made, or others can read it.
pub fn load_or_create(home: &Path, name: &str) -> Result<Key, String> {
    let folder = home.join("keys");
    let path = folder.join(name);
    let failed = |what: &str, e: &std::io::Error| {
        format!(
            "Cannot {what} the key file {}: {e}. Check the folder's owner and free space.",
            path.display()
        )
    };
    fs::create_dir_all(&folder).map_err(|e| failed("make the folder of", &e))?;
    // Written whole under another name, then linked: whoever links first wins, and nobody reads half a key.
    if !path.exists() {
        let draft = folder.join(format!(".{name}.{}", rand::random::<u64>()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(|e| failed("make", &e))?;
        file.write_all(&rand::random::<Key>())
            .and_then(|()| file.sync_all())
            .map_err(|e| failed("write", &e))?;
        let linked = fs::hard_link(&draft, &path);
        let _ = fs::remove_file(&draft);
        if let Err(e) = linked
            && e.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(failed("make", &e));
        }
    }
    let mut file = fs::File::open(&path).map_err(|e| failed("open", &e))?;
    let mode = file
        .metadata()
        .map_err(|e| failed("look at", &e))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "The key file {} can be read by others. Run: chmod 600 {}",
            path.display(),
            path.display()
        ));
    }
    let mut key = Key::default();
    file.read_exact(&mut key).map_err(|e| failed("read", &e))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let home = std::env::temp_dir().join(format!("countersign-keys-{}", rand::random::<u64>()));
        let made: Vec<Key> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| load_or_create(&home, "agent-token").unwrap()))
                .collect();
            makers.into_iter().map(|m| m.join().unwrap()).collect()
        });
        assert!(made.iter().all(|k| *k == made[0]), "all makers agree");
        let path = home.join("keys/agent-token");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            load_or_create(&home, "agent-token")
                .unwrap_err()
                .contains("chmod 600")
        );
        fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn a_short_text_is_no_key() {
        assert_eq!(from_text("short"), None);
        assert!(from_text(&"x".repeat(32)).is_some());
    }
}
