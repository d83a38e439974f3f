//! One spelling for equal arguments, so that their digest can stand for them.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 of the canonical JSON: members sorted by name, no white space, no `null` members.
pub(crate) fn digest(value: &Value) -> [u8; 32] {
    let mut text = String::new();
    write(value, &mut text);
    Sha256::digest(text.as_bytes()).into()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().filter(|(_, v)| !v.is_null()).collect();
            members.sort_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (i, (name, inner)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(inner, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, inner) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(inner, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_and_absent_members_do_not_matter_values_do() {
        assert_eq!(
            digest(&json!({"a": 1, "b": [1, {"d": 2, "c": null}]})),
            digest(&json!({"b": [1, {"d": 2}], "a": 1}))
        );
        assert_ne!(digest(&json!({"a": "1"})), digest(&json!({"a": 1})));
        assert_ne!(
            digest(&json!({"a": "}\",{\""})),
            digest(&json!({"a": "}", ",{": ""}))
        );
    }
}
