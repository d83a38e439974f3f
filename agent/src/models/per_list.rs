//! What is made once of a list of tools and not once per call: compiled schemas, the tools as a provider reads them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::ToolSpec;

/// Lists that are known by their address. Every principal has a list of their own, though most hold the same tools.
const LISTS_MAX: u64 = 4096;
/// Different contents of lists: roles times servers, in practice a handful.
const CONTENTS_MAX: u64 = 64;
/// What nobody asks for is forgotten.
const IDLE: Duration = Duration::from_secs(3600);

type Known<T> = (Weak<Vec<ToolSpec>>, Arc<T>);

/// A `T` per list of tools, made when it is first wanted. Lists with the same content share it.
pub struct PerList<T> {
    by_address: Cache<usize, Known<T>>,
    by_content: Cache<[u8; 32], Arc<T>>,
}

impl<T: Send + Sync + 'static> Default for PerList<T> {
    fn default() -> PerList<T> {
        PerList {
            by_address: Cache::builder()
                .max_capacity(LISTS_MAX)
                .time_to_idle(IDLE)
                .build(),
            by_content: Cache::builder()
                .max_capacity(CONTENTS_MAX)
                .time_to_idle(IDLE)
                .build(),
        }
    }
}

impl<T: Send + Sync + 'static> PerList<T> {
    /// What belongs to `tools`; `make` is called when nobody has asked for a list of this content yet.
    pub fn get(&self, tools: &Arc<Vec<ToolSpec>>, make: impl FnOnce(&[ToolSpec]) -> T) -> Arc<T> {
        let address = Arc::as_ptr(tools).addr();
        // An address is not used anew while somebody holds a weak reference to it, so an equal address is the same list.
        if let Some((_, known)) = self.by_address.get(&address) {
            return known;
        }
        let made = self
            .by_content
            .get_with(content(tools), || Arc::new(make(tools)));
        self.by_address
            .insert(address, (Arc::downgrade(tools), Arc::clone(&made)));
        made
    }
}

fn content(tools: &[ToolSpec]) -> [u8; 32] {
    let mut digest = Sha256::new();
    // Writing to a digest cannot fail, and a list that cannot be written is as good as an empty one.
    if let Ok(text) = serde_json::to_vec(tools) {
        digest.update(&text);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    fn list(name: &str) -> Arc<Vec<ToolSpec>> {
        Arc::new(vec![ToolSpec {
            name: name.to_owned(),
            title: String::new(),
            description: String::new(),
            input_schema: json!({"type": "object"}),
            read_only: true,
        }])
    }

    #[test]
    fn it_is_made_once_per_content_and_never_mistaken_for_another_lists() {
        let made = AtomicUsize::new(0);
        let per_list = PerList::default();
        let name = |tools: &Arc<Vec<ToolSpec>>| {
            per_list.get(tools, |tools| {
                made.fetch_add(1, Ordering::SeqCst);
                tools[0].name.clone()
            })
        };
        let first = list("one");
        assert_eq!(*name(&first), "one");
        assert_eq!(*name(&first), "one");
        assert_eq!(*name(&list("one")), "one");
        assert_eq!(made.load(Ordering::SeqCst), 1);
        // Freed lists give their addresses back; what was known of them must not be.
        for n in 0..200 {
            assert_eq!(*name(&list(&n.to_string())), n.to_string());
        }
        assert_eq!(made.load(Ordering::SeqCst), 201);
    }
}
