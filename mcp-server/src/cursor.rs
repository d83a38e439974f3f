//! Where the next page of a list starts, as opaque text. A client passes it back unread; what it may have written into it is never
//! trusted to be more than a place in the list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest cursor that is read, bytes. The longest name in base64 is well below.
const BYTES_MAX: usize = 2_000;

/// A place in a list as text.
#[must_use]
pub(crate) fn write<T: Serialize>(place: &T) -> String {
    // Serializing strings and numbers into memory cannot fail; an empty cursor would be refused when it comes back.
    serde_json::to_vec(place)
        .map(|json| URL_SAFE_NO_PAD.encode(json))
        .unwrap_or_default()
}

/// The place a text stands for; `None` when we never wrote it.
#[must_use]
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    if holds_control_characters(&json) {
        return None;
    }
    serde_json::from_value(json).ok()
}

/// Postgres text cannot hold U+0000.
fn holds_control_characters(json: &Value) -> bool {
    match json {
        Value::String(text) => text.chars().any(char::is_control),
        Value::Array(parts) => parts.iter().any(holds_control_characters),
        Value::Object(members) => members.values().any(holds_control_characters),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_comes_back_and_nothing_else_is_one() {
        let place = ("n".to_owned(), "azúcar".to_owned(), 7_i64);
        assert_eq!(
            read::<(String, String, i64)>(&write(&place)),
            Some(place.clone())
        );
        for bad in ["", "!", "e30", "WyJuIl0", &"A".repeat(3_000)] {
            assert_eq!(read::<(String, String, i64)>(bad), None, "{bad}");
        }
        assert_eq!(read::<(String, i64)>(&write(&("a\0b", 1))), None);
    }

    proptest! {
        #[test]
        fn no_text_is_more_than_a_place_or_nothing(text in ".{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read::<(String, String, i64)>(&text);
            // What decodes is read no less carefully.
            let place: Option<(String, i64)> = read(&URL_SAFE_NO_PAD.encode(&bytes));
            if let Some((name, _)) = place {
                prop_assert!(!name.chars().any(char::is_control));
            }
        }

        #[test]
        fn every_place_we_write_comes_back(name in "\\PC{0,80}", number: i64) {
            prop_assert_eq!(read::<(String, i64)>(&write(&(name.clone(), number))), Some((name, number)));
        }
    }
}
