//! What the sources themselves promise: settings that are documented, layers that keep their direction, queries that name the tenant.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use migrations::settings::Reader;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_path_buf()
}

fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path
                    .strip_prefix(root())
                    .expect("inside")
                    .display()
                    .to_string();
                found.push((name, fs::read_to_string(&path).expect("a text")));
            }
        }
    }
    found
}

/// Compiled for tests only.
fn for_tests(name: &str) -> bool {
    name.ends_with("/testing.rs") || name.ends_with("/scenes.rs")
}

/// The part of a file before its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[test]
fn env_example_lists_exactly_what_the_programs_read() {
    let settings =
        || Reader::new(|name| (name == "COUNTERSIGN_HOME").then(|| "/srv/shop".to_owned()));
    let (agent, server) = (settings(), settings());
    agent::config::Config::read(&agent).expect("defaults are good");
    mcp_server::config::Config::read(&server).expect("defaults are good");
    let mut read: BTreeSet<(String, String)> =
        agent.asked().into_iter().chain(server.asked()).collect();
    // Read by the log library, not by us.
    read.insert((
        "RUST_LOG".to_owned(),
        "info,rmcp=error,sqlx=warn,graphile_worker=off".to_owned(),
    ));
    let listed: BTreeSet<(String, String)> = fs::read_to_string(root().join(".env.example"))
        .expect(".env.example")
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .map(|(name, default)| (name.to_owned(), default.to_owned()))
        .collect();
    assert_eq!(listed, read);
}

#[test]
fn layers_keep_their_direction() {
    let only = |word: &str, folder: &str, allowed: &[&str]| {
        for (name, text) in rust_files(&root().join(folder)) {
            let used = !for_tests(&name)
                && product(&text)
                    .lines()
                    .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(
                !used || allowed.iter().any(|a| name.starts_with(a)),
                "{name} uses {word}"
            );
        }
    };
    only("mcp_server::", "agent/src", &["agent/src/embedded.rs"]);
    only(
        "axum::",
        "agent/src",
        &[
            "agent/src/http",
            "agent/src/pages",
            "agent/src/streams/sse.rs",
            "agent/src/start.rs",
            "agent/src/stub_provider",
        ],
    );
    only("rmcp::", "agent/src", &["agent/src/tools"]);
    only("async_openai::", "agent/src", &["agent/src/models/openai"]);
    only(
        "axum::",
        "mcp-server/src",
        &[
            "mcp-server/src/http",
            "mcp-server/src/callbacks.rs",
            "mcp-server/src/guard.rs",
            "mcp-server/src/pages",
            "mcp-server/src/admin",
            "mcp-server/src/identity",
            "mcp-server/src/start.rs",
            "mcp-server/src/written.rs",
        ],
    );
    only(
        "rmcp::",
        "mcp-server/src",
        &[
            "mcp-server/src/server",
            "mcp-server/src/fixtures",
            "mcp-server/src/http",
            "mcp-server/src/start.rs",
            "mcp-server/src/written.rs",
        ],
    );
    only(
        "graphile_worker::",
        "mcp-server/src",
        &["mcp-server/src/jobs.rs"],
    );
    for word in ["tokio", "sqlx", "axum", "rmcp", "std::fs", "std::env"] {
        only(&format!("{word}::"), "contracts/src", &[]);
    }
}

#[test]
fn what_is_pure_does_no_io() {
    for pure in [
        "agent/src/models/interpreter",
        "agent/src/answers",
        "agent/src/language",
        "agent/src/run/machine",
    ] {
        for (name, text) in rust_files(&root().join("agent/src"))
            .into_iter()
            .filter(|(n, _)| n.starts_with(pure))
        {
            for io in ["sqlx::", "tokio::", "std::fs", "reqwest::"] {
                assert!(!product(&text).contains(io), "{name} does I/O: {io}");
            }
        }
    }
}

/// What a query may name instead of its tenant, each with its reason.
const WITHOUT_TENANT: [(&str, &str); 21] = [
    (
        "shop.operations($1)",
        "operators ask how much waits, over all businesses; the function tells counts",
    ),
    (
        "shop.names_alike($1",
        "the function is told the tenant and looks only where that is the one that is set",
    ),
    ("shop.items_beginning($1", "the same"),
    ("shop.customers_beginning($1", "the same"),
    (
        "shop.tenants_with_lapsed_rows",
        "the sweeper has no tenant yet; the function says which have something lapsed",
    ),
    (
        "shop.forget_told_events",
        "the same; the function takes what is 90 days old and waits for nobody",
    ),
    (
        "agent.runs_wanting_a_worker",
        "a worker has no tenant yet; the function says which runs want one",
    ),
    (
        "agent.take_open_questions",
        "the same, for questions that may have been answered elsewhere",
    ),
    (
        "agent.operations",
        "an operator looks over all of them; the function tells counts",
    ),
    (
        "pg_advisory_xact_lock(hashtextextended('customer ' || $1",
        "a lock, keyed by the tenant and a name; reads no table",
    ),
    (
        "shop.tenants_with_untold_events",
        "whoever looks for work has no tenant yet; the function says which have some",
    ),
    (
        "shop.endpoints_with_due_deliveries",
        "the same; it says for which endpoints something is due",
    ),
    (
        "shop.add_job",
        "the queue is the program's own; a job's payload names its tenant",
    ),
    (
        "shop.due_payments",
        "the same; it says which payments' providers are to be asked",
    ),
    (
        "shop.tenants_with_lapsed_holds",
        "the same, for times that were held",
    ),
    (
        "shop.tenants_with_due_reminders",
        "the same, for bookings to come",
    ),
    (
        "shop.tenant_of_payment",
        "a provider calls from outside and names a payment; the function says whose it is",
    ),
    (
        "shop.all_tenants",
        "the operator looks at the businesses; the function shows a page of them, and nothing that is in them",
    ),
    ("shop.tenants", "named by its id"),
    (
        "shop.tenant_of_handle",
        "a token or a person at log-in names a business; the function says which it is",
    ),
    (
        "shop.has_credentials",
        "a program that starts has no tenant; the function says whether anybody could come in",
    ),
];

/// Every checked query names the tenant, or is one of the few that have none, each with its reason.
#[test]
fn every_query_names_the_tenant() {
    let mut seen = 0;
    for (name, text) in rust_files(&root().join("mcp-server/src"))
        .into_iter()
        .chain(rust_files(&root().join("agent/src")))
    {
        if for_tests(&name) {
            continue;
        }
        for (at, _) in product(&text).match_indices("sqlx::query") {
            let rest = &product(&text)[at..];
            let query = rest
                .split(".fetch")
                .next()
                .and_then(|q| q.split(".execute").next())
                .unwrap_or(rest);
            if !(query.contains("shop.") || query.contains("agent.")) {
                continue;
            }
            seen += 1;
            let scoped = query.contains("tenant_id = $1")
                || query.contains("(tenant_id")
                || query.contains("select $1,");
            let excused = WITHOUT_TENANT
                .iter()
                .any(|(table, _)| query.contains(table));
            assert!(
                scoped || excused,
                "{name}: a query does not name its tenant:\n{}",
                query.chars().take(400).collect::<String>()
            );
        }
    }
    assert!(
        seen > 50,
        "only {seen} queries were found: the search is broken"
    );
}

/// Neither program builds SQL from text; the one text that is built, the preamble that sets the tenant, is in `migrations::database`.
#[test]
fn sql_is_never_built_from_text() {
    for (name, text) in rust_files(&root().join("mcp-server/src"))
        .into_iter()
        .chain(rust_files(&root().join("agent/src")))
    {
        for word in ["AssertSqlSafe", "raw_sql", "QueryBuilder"] {
            let used = !for_tests(&name) && product(&text).contains(word);
            assert!(!used, "{name} uses {word}");
        }
    }
}

/// Degrees, kilometres and points on paper are measured; money and quantities are counted.
#[test]
fn money_and_quantities_are_never_floats() {
    let counted = [
        "contracts/src/money",
        "contracts/src/unit",
        "contracts/src/tools/billing",
        "contracts/src/tools/inventory",
        "contracts/src/tools/payment",
        "contracts/src/tools/booking",
        "mcp-server/src/bills",
        "mcp-server/src/bookings",
        "mcp-server/src/catalogue",
        "mcp-server/src/ledger",
        "mcp-server/src/payments",
        "mcp-server/src/pricing",
        "mcp-server/src/providers",
        "mcp-server/src/stock",
        "mcp-server/src/typed",
        "mcp-server/src/tools/billing",
        "mcp-server/src/tools/booking",
        "mcp-server/src/tools/inventory",
        "mcp-server/src/tools/payment",
    ];
    for prefix in counted {
        let folder = prefix.split("/src").next().expect("a crate");
        let files = rust_files(&root().join(folder).join("src"));
        let mut seen = 0;
        for (name, text) in files.iter().filter(|(name, _)| name.starts_with(prefix)) {
            seen += 1;
            let float = ["f64", "f32"].iter().find(|f| product(text).contains(**f));
            assert_eq!(float, None, "{name} has a float");
        }
        assert!(seen > 0, "there is no {prefix}");
    }
}

/// What is kept by a key that names no business: by content, which is the same for whoever has it.
const KEPT_BY_CONTENT: [(&str, &str); 4] = [
    // A number made of business and subject, or of an address nobody is known at yet.
    ("mcp-server/src/limits.rs", "u64"),
    ("agent/src/models/per_list.rs", "usize"),
    ("agent/src/models/per_list.rs", "[u8; 32]"),
    ("agent/src/tools.rs", "Vec<usize>"),
];

/// A cache or a limit whose key named no business would mix what several have. A digest is of a whole credential, which is one's own.
#[test]
fn every_cache_and_limit_names_the_business() {
    let mut seen = 0;
    for folder in ["agent/src", "mcp-server/src"] {
        for (name, text) in rust_files(&root().join(folder)) {
            let kinds = ["Cache<", "KeyedRateLimiter<", "RateLimiter<"];
            let declared = product(&text).lines().flat_map(|line| {
                let code = line.split("//").next().unwrap_or_default();
                kinds
                    .iter()
                    .find_map(|kind| code.split_once(kind))
                    .map(|(_, rest)| key(rest))
            });
            for key in declared.filter(|_| !for_tests(&name)) {
                seen += 1;
                let names_business = ["TenantId", "Principal", "Caller"]
                    .iter()
                    .any(|word| key.contains(word));
                let of_credential = name.contains("/src/identity") && key == "[u8; 32]";
                let is_any = key == "K";
                assert!(
                    names_business
                        || of_credential
                        || is_any
                        || KEPT_BY_CONTENT.contains(&(name.as_str(), key.as_str())),
                    "{name} keeps things by {key}"
                );
            }
        }
    }
    assert!(seen >= 4, "{seen} caches found");
}

/// The first of the types between angle brackets.
fn key(rest: &str) -> String {
    let mut depth = 0_i32;
    let end = rest.char_indices().find(|(_, c)| {
        let ends = depth == 0 && matches!(c, ',' | '>');
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            _ => {}
        }
        ends
    });
    rest[..end.map_or(rest.len(), |(at, _)| at)].to_owned()
}
