//! Who gets in, over real sockets: bytes as a hostile page, an old browser or a curious program sends them.

use std::net::SocketAddr;

use e2e::world::{PATIENCE, World};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends a request, `METHOD path | header | header`, byte for byte, and returns the status. HERE is the address.
async fn status(address: SocketAddr, row: &str, body: &str) -> u16 {
    let row = row.replace("HERE", &address.to_string());
    let mut parts = row.split(" | ");
    let mut request = format!("{} HTTP/1.1\r\n", parts.next().unwrap_or_default());
    for header in parts {
        request.push_str(&format!("{header}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!(
        "Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let talk = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, talk).await.expect("in time");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok());
    status.unwrap_or_else(|| panic!("{row}: {text}"))
}

fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|row| !row.is_empty())
}

/// A name that an attacker points at this machine; another site's page, or another program's page on this machine; an image on a
/// foreign page in a browser that does not say where it comes from.
const KEPT_FROM_THE_AGENT: &str = "
POST /agent/chat | Host: rebound.example
POST /agent/chat | Host: localhost.rebound.example
POST /agent/chat | Host: x@HERE
POST /agent/chat | Host: HERE@rebound.example
POST /agent/chat | Host: HERE | Host: rebound.example
POST http://rebound.example/agent/chat | Host: HERE
POST /agent/chat | Host: HERE | Origin: https://evil.example
POST /agent/chat | Host: HERE | Origin: http://127.0.0.1:1
POST /agent/chat | Host: HERE | Origin: null
POST /agent/chat | Host: HERE | Origin: http://HERE | Origin: https://evil.example
POST /agent/chat | Host: HERE | Origin: http://HERE | Sec-Fetch-Site: same-site
POST /agent/approvals/00000000-0000-7000-8000-000000000001 | Host: HERE | Sec-Fetch-Site: cross-site
GET /agent/chat/stream?message=hello | Host: HERE | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate
GET /agent/runs/00000000-0000-7000-8000-000000000001 | Host: HERE | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate
GET /agent/chat/stream?message=hello | Host: HERE | User-Agent: Mozilla/5.0
GET /api/agent/chat/stream?message=hello | Host: HERE | User-Agent: Mozilla/5.0 | Referer: https://evil.example/
GET /healthz | Host: rebound.example
";

const LET_TO_THE_AGENT: &str = "
POST /agent/chat | Host: HERE
POST /agent/chat | Host: HERE | Origin: http://HERE | Sec-Fetch-Site: same-origin
GET / | Host: HERE | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate
GET /healthz | Host: HERE
GET /agent/chat/stream?message=hello | Host: HERE | User-Agent: Mozilla/5.0 | Referer: http://HERE/
GET /agent/chat/stream?message=hello | Host: HERE | User-Agent: curl/8.5
";

#[tokio::test]
async fn only_this_machine_and_our_own_page_reach_the_agent() {
    let world = World::open().await;
    let before = world.content("agent").await;
    let hello = json!({"message": "hello"}).to_string();
    let status = async |row: &str| {
        let (row, body) = match row.starts_with("POST") {
            true => (format!("{row} | Content-Type: application/json"), &*hello),
            false => (row.to_owned(), ""),
        };
        status(world.agent.address, &row, body).await
    };
    for row in rows(KEPT_FROM_THE_AGENT) {
        assert_eq!(status(row).await, 403, "{row}");
    }
    let nameless = status("POST /agent/chat").await;
    assert!(matches!(nameless, 400 | 403), "no Host at all");
    assert_eq!(world.content("agent").await, before);
    for row in rows(LET_TO_THE_AGENT) {
        assert_eq!(status(row).await, 200, "{row}");
    }
}

const KEPT_FROM_THE_TOOLS: &str = "
POST /mcp | Host: rebound.example
POST /mcp | Host: 127.0.0.1.rebound.example
POST /mcp | Host: HERE@rebound.example
POST /mcp | Host: HERE | Host: rebound.example
POST http://rebound.example/mcp | Host: HERE
POST /mcp | Host: HERE | Origin: https://evil.example
POST /mcp | Host: HERE | Origin: null
POST /mcp | Host: HERE | Origin: http://HERE | Origin: https://evil.example
POST /mcp | Host: HERE | Origin: https://evil.example | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate
POST /mcp | Host: HERE | Sec-Fetch-Site: cross-site
POST /mcp | Host: HERE | Sec-Fetch-Site: same-site | Sec-Fetch-Mode: cors
";

#[tokio::test]
async fn only_this_machine_reaches_the_tool_server() {
    let world = World::open().await;
    let before = world.content("shop").await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "inventory_add_item",
        "arguments": {"name": "Sugar", "unit_price": "160"}}});
    let call = call.to_string();
    let post = async |row: &str| {
        let typed = "Content-Type: application/json | Accept: application/json, text/event-stream";
        let row = format!("{row} | {typed} | MCP-Protocol-Version: 2025-11-25");
        status(world.shop.address, &row, &call).await
    };
    for row in rows(KEPT_FROM_THE_TOOLS) {
        assert_eq!(post(row).await, 403, "{row}");
    }
    let rubbish = post("POST /mcp | Host: HERE | Authorization: Bearer rubbish").await;
    assert_eq!(rubbish, 401);
    let get = async |row: &str| status(world.shop.address, row, "").await;
    let listen = get("GET /mcp | Host: HERE | Accept: text/event-stream").await;
    assert_eq!(listen, 405, "stateless: nothing to listen to");
    assert_eq!(get("GET /nothing | Host: HERE").await, 404);
    assert_eq!(world.content("shop").await, before);
    assert_eq!(post("POST /mcp | Host: HERE").await, 200);
    let made = "select count(*) from shop.items where name = 'Sugar'";
    assert_eq!(world.number(made).await, 1);
    // Balancers need no name and learn nothing.
    for row in [
        "GET /healthz | Host: balancer",
        "GET /readyz | Host: balancer",
    ] {
        assert_eq!(get(row).await, 200);
    }
}

/// Reads until the end of the head of an answer and then its body.
async fn one_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&answer).to_lowercase();
            let length = text.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
            if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
                && body.len() >= length
            {
                return text;
            }
            let read = stream.read_buf(&mut answer).await.expect("an answer");
            assert_ne!(read, 0, "closed after: {text}");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("in time")
}

/// A client that is told to bring a token comes back with it on the same connection, and has often not sent its body yet when it is refused.
#[tokio::test]
async fn who_is_refused_keeps_the_connection() {
    let world = World::open().await;
    for (address, path) in [
        (world.shop.address, "/mcp"),
        (world.agent.address, "/agent/chat"),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let refused = |length: usize| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer rubbish\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            )
        };
        for _ in 0..2 {
            let head = refused(2);
            stream.write_all(head.as_bytes()).await.expect("sent");
            tokio::task::yield_now().await;
            stream.write_all(b"{}").await.expect("sent");
            let answer = one_answer(&mut stream).await;
            assert!(answer.starts_with("http/1.1 401"), "{path}: {answer}");
            assert!(!answer.contains("connection: close"), "{path}: {answer}");
        }
        let health = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(health.as_bytes()).await.expect("sent");
        let answer = one_answer(&mut stream).await;
        assert!(answer.starts_with("http/1.1 200"), "{path}: {answer}");

        // Who never sends what was announced is not waited for, and told so.
        let head = refused(1000);
        stream.write_all(head.as_bytes()).await.expect("sent");
        let answer = one_answer(&mut stream).await;
        assert!(answer.starts_with("http/1.1 401"), "{path}: {answer}");
        assert!(answer.contains("connection: close"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_page_runs_only_what_we_serve() {
    let world = World::open().await;
    let page = world.get("/").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.headers()["x-frame-options"], "DENY");
    let text = page.text().await.expect("a page");
    let links: Vec<&str> = text
        .split('"')
        .filter(|l| l.starts_with("/static/"))
        .collect();
    assert!(links.len() >= 2, "{links:?}");
    for link in links {
        let answer = world.get(link).await;
        assert_eq!(answer.status(), 200, "{link}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    for example in agent::pages::EXAMPLES {
        assert!(text.contains(example), "{example}");
    }
    let health: serde_json::Value = world.get("/healthz").await.json().await.expect("JSON");
    assert_eq!(
        health,
        json!({"service": "countersign-agent", "status": "ok"})
    );
}
