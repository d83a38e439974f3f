//! Lists of tools: read page by page, kept for as long as their server says, and shared where they are the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rmcp::model::{
    CacheScope, ClientRequest, ListToolsRequest, MetaObject, PaginatedRequestParams, ServerResult,
    Tool,
};
use serde_json::Value;

use super::client::OnBehalf;
use super::link::{Link, Unreachable};
use crate::models::ToolSpec;

/// How long listing may take, all pages together.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a list is used when its server says nothing.
const TTL: Duration = Duration::from_secs(300);
/// The least: one turn looks at a list several times.
const TTL_LEAST: Duration = Duration::from_secs(2);
/// The most.
const TTL_MOST: Duration = Duration::from_secs(24 * 3600);
/// Pages of one list.
const PAGES_MAX: usize = 32;
/// Tools of all pages, before any of them is looked at.
const TOOLS_MAX: usize = 1024;
/// Different lists that are remembered to be shared.
const SHARED_MAX: usize = 256;

/// What a server answered when it was asked for its tools.
pub(super) struct Answered {
    pub(super) tools: Vec<Tool>,
    /// Entries that are no tools at all.
    pub(super) broken: usize,
    /// The first page's.
    pub(super) meta: Option<MetaObject>,
    pub(super) ttl: Duration,
    /// Not for anybody else than whom it was asked for.
    pub(super) private: bool,
    /// The server's count of changes when it was asked.
    pub(super) generation: u64,
    pub(super) at: Instant,
}

/// Whether a list that was fetched then is still what the server offers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Freshness {
    pub(super) generation: u64,
    pub(super) at: Instant,
    pub(super) ttl: Duration,
}

impl Freshness {
    pub(super) fn lasts(&self, generation: u64) -> bool {
        self.generation == generation && self.at.elapsed() < self.ttl
    }
}

impl Answered {
    pub(super) fn freshness(&self) -> Freshness {
        Freshness {
            generation: self.generation,
            at: self.at,
            ttl: self.ttl,
        }
    }
}

/// Asks for every page.
pub(super) async fn fetch(
    link: &Link,
    on_behalf: Option<OnBehalf>,
) -> Result<Answered, Unreachable> {
    link.open().await?;
    match tokio::time::timeout(DEADLINE, pages(link, on_behalf)).await {
        Ok(answered) => answered,
        Err(_elapsed) => Err(Unreachable::new(format!(
            "no list within {} s",
            DEADLINE.as_secs()
        ))),
    }
}

async fn pages(link: &Link, on_behalf: Option<OnBehalf>) -> Result<Answered, Unreachable> {
    let mut all = Answered {
        tools: Vec::new(),
        broken: 0,
        meta: None,
        ttl: TTL_MOST,
        private: false,
        generation: link.changes().count(),
        at: Instant::now(),
    };
    let mut cursor: Option<String> = None;
    for number in 0..PAGES_MAX {
        // The first page is asked for as every server knows it.
        let next = cursor.clone().map(|c| {
            ListToolsRequest::with_param(PaginatedRequestParams::default().with_cursor(Some(c)))
        });
        let mut request = next.unwrap_or_default();
        if let Some(on_behalf) = &on_behalf {
            request.extensions.insert(on_behalf.clone());
        }
        let page = page(link, request).await?;
        all.ttl = all.ttl.min(page.ttl.unwrap_or(TTL));
        all.private |= page.private;
        all.broken += page.broken;
        all.tools.extend(page.tools);
        if number == 0 {
            all.meta = page.meta;
        }
        let same = page.next == cursor;
        cursor = page.next;
        if cursor.is_none() || same || all.tools.len() > TOOLS_MAX {
            break;
        }
    }
    all.tools.truncate(TOOLS_MAX);
    all.ttl = all.ttl.max(TTL_LEAST);
    Ok(all)
}

struct Page {
    tools: Vec<Tool>,
    broken: usize,
    meta: Option<MetaObject>,
    ttl: Option<Duration>,
    private: bool,
    next: Option<String>,
}

async fn page(link: &Link, request: ListToolsRequest) -> Result<Page, Unreachable> {
    let sent = link.send(ClientRequest::ListToolsRequest(request), DEADLINE);
    match sent.await? {
        Ok(ServerResult::ListToolsResult(list)) => Ok(Page {
            tools: list.tools,
            broken: 0,
            meta: list.meta,
            ttl: list.ttl_ms.map(Duration::from_millis),
            private: list.cache_scope == Some(CacheScope::Private),
            next: list.next_cursor,
        }),
        Ok(ServerResult::CustomResult(list)) => one_by_one(&list.0)
            .ok_or_else(|| Unreachable::new("it answered something else than a list")),
        Ok(_) => Err(Unreachable::new("it answered something else than a list")),
        Err(error) => Err(Unreachable::new(error.message.into_owned())),
    }
}

/// A list that is none as a whole, because one of its entries is broken: the others count.
fn one_by_one(list: &Value) -> Option<Page> {
    let entries = list.get("tools")?.as_array()?;
    let tools: Vec<Tool> = entries
        .iter()
        .take(TOOLS_MAX)
        .filter_map(|entry| serde_json::from_value(entry.clone()).ok())
        .collect();
    let ttl = list.get("ttlMs").and_then(Value::as_u64);
    Some(Page {
        broken: entries.len() - tools.len(),
        tools,
        meta: None,
        ttl: ttl.map(Duration::from_millis),
        private: list.get("cacheScope").and_then(Value::as_str) == Some("private"),
        next: list
            .get("nextCursor")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}

/// Makes lists that are the same the same: most principals have the list of their role, and whoever keeps something for a list may know
/// it by its address.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Vec<Arc<Vec<ToolSpec>>>>);

impl Shelf {
    pub(super) fn share(&self, tools: Vec<ToolSpec>) -> Arc<Vec<ToolSpec>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.iter().find(|k| ***k == tools) {
            return Arc::clone(same);
        }
        if known.len() >= SHARED_MAX {
            known.retain(|k| Arc::strong_count(k) > 1);
        }
        let tools = Arc::new(tools);
        if known.len() < SHARED_MAX {
            known.push(Arc::clone(&tools));
        }
        tools
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_broken_entry_costs_itself() {
        let list = json!({"tools": [
            {"name": "good", "inputSchema": {"type": "object"}},
            {"name": "bad", "inputSchema": "none"},
            {"inputSchema": {"type": "object"}},
            7,
        ], "nextCursor": "2", "ttlMs": 1000, "cacheScope": "private"});
        let page = one_by_one(&list).unwrap();
        assert_eq!(page.tools.len(), 1);
        assert_eq!((page.broken, page.private), (3, true));
        assert_eq!(page.next.as_deref(), Some("2"));
        assert!(one_by_one(&json!({"items": []})).is_none());
    }

    #[test]
    fn equal_lists_are_one() {
        let shelf = Shelf::default();
        let spec = |n: usize| ToolSpec {
            name: n.to_string(),
            title: String::new(),
            description: String::new(),
            input_schema: json!({}),
            read_only: true,
        };
        let first = shelf.share(vec![spec(1)]);
        assert!(Arc::ptr_eq(&first, &shelf.share(vec![spec(1)])));
        assert!(!Arc::ptr_eq(&first, &shelf.share(vec![spec(2)])));
        for n in 0..2 * SHARED_MAX {
            shelf.share(vec![spec(n)]);
        }
        assert!(
            Arc::ptr_eq(&first, &shelf.share(vec![spec(1)])),
            "still in use"
        );
    }

    #[test]
    fn a_list_is_fresh_until_its_time_or_a_change() {
        let fresh = Freshness {
            generation: 3,
            at: Instant::now(),
            ttl: TTL,
        };
        assert!(fresh.lasts(3));
        assert!(!fresh.lasts(4));
        let old = Freshness {
            ttl: Duration::ZERO,
            ..fresh
        };
        assert!(!old.lasts(3));
    }
}
