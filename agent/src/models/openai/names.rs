//! The names under which tools are sent. Providers take letters, digits, `_` and `-`, 64 at most; MCP servers take more.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::models::ToolSpec;

/// Longest name a provider takes.
const WIRE_CHARACTERS_MAX: usize = 64;
/// How much of the own name a derived one shows, for the model to read.
const SHOWN_CHARACTERS_MAX: usize = 45;
/// Before the digest of a derived name. A tool's own name that looks like a derived one is derived itself, so the two never meet.
const MARK: &str = "-x";
/// Digits of the digest.
const DIGEST_CHARACTERS: usize = 16;

/// The name a tool has for a provider: its own where that is fit to be sent, else one derived from it, the same in every request.
pub(super) fn wire_name(name: &str) -> Cow<'_, str> {
    if is_fit(name) && !looks_derived(name) {
        return Cow::Borrowed(name);
    }
    let shown: String = name
        .chars()
        .take(SHOWN_CHARACTERS_MAX)
        .map(|c| if is_fit_character(c) { c } else { '_' })
        .collect();
    let digest = Sha256::digest(name.as_bytes());
    let digest: String = digest
        .iter()
        .take(DIGEST_CHARACTERS / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Cow::Owned(format!("{shown}{MARK}{digest}"))
}

fn is_fit(name: &str) -> bool {
    (1..=WIRE_CHARACTERS_MAX).contains(&name.len()) && name.chars().all(is_fit_character)
}

const fn is_fit_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn looks_derived(name: &str) -> bool {
    name.rsplit_once(MARK).is_some_and(|(_, digest)| {
        digest.len() == DIGEST_CHARACTERS && digest.chars().all(|c| c.is_ascii_hexdigit())
    })
}

/// The way back from the names of one list.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, String>);

impl Names {
    pub(super) fn of(tools: &[ToolSpec]) -> Names {
        let derived = tools.iter().filter_map(|tool| match wire_name(&tool.name) {
            Cow::Borrowed(_) => None,
            Cow::Owned(wire) => Some((wire, tool.name.clone())),
        });
        Names(derived.collect())
    }

    /// The tool a model means. A name nobody has stays what it is: the check of the call refuses it.
    pub(super) fn own_name(&self, wire: &str) -> String {
        self.0.get(wire).cloned().unwrap_or_else(|| wire.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn spec(name: &str) -> ToolSpec {
        ToolSpec {
            name: name.to_owned(),
            title: String::new(),
            description: String::new(),
            input_schema: Value::Null,
            read_only: true,
        }
    }

    #[test]
    fn ordinary_names_are_sent_as_they_are() {
        for name in ["inventory_list_items", "a", "A-b_9"] {
            assert_eq!(wire_name(name), name);
        }
        assert!(wire_name("shop.list items").starts_with("shop_list_items-x"));
    }

    #[test]
    fn a_name_that_looks_derived_does_not_take_anothers_place() {
        let derived = wire_name("shop.list").into_owned();
        let names = Names::of(&[spec("shop.list"), spec(&derived)]);
        assert_ne!(wire_name(&derived), derived);
        assert_eq!(names.own_name(&derived), "shop.list");
        assert_eq!(names.own_name(&wire_name(&derived)), derived);
        assert_eq!(names.own_name("unheard_of"), "unheard_of");
    }

    proptest! {
        #[test]
        fn every_name_is_fit_to_be_sent_and_comes_back(own in prop::collection::hash_set("\\PC{0,80}|[a-z.]{1,4}", 1..12)) {
            let tools: Vec<ToolSpec> = own.iter().map(|n| spec(n)).collect();
            let names = Names::of(&tools);
            let mut sent = HashSet::new();
            for name in &own {
                let wire = wire_name(name).into_owned();
                prop_assert!(is_fit(&wire), "{wire}");
                prop_assert_eq!(&names.own_name(&wire), name);
                prop_assert!(sent.insert(wire));
            }
        }
    }
}
