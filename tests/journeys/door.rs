//! Who gets in, over real sockets: bytes as a hostile page, an old browser or a curious program sends them.

use std::net::SocketAddr;

use e2e::world::{PATIENCE, World};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends a request line and headers, byte for byte, and returns the status.
async fn status(address: SocketAddr, line: &str, headers: &[&str], body: &str) -> u16 {
    let mut request = format!("{line} HTTP/1.1\r\n");
    for header in headers {
        request.push_str(&header.replace("HERE", &address.to_string()));
        request.push_str("\r\n");
    }
    request.push_str(&format!(
        "Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
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
    text.split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| panic!("{line} {headers:?}: {text}"))
}

const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn only_this_machine_and_our_own_page_reach_the_agent() {
    let world = World::open().await;
    let before = world.content("agent").await;
    let (address, hello) = (world.agent.address, json!({"message": "hello"}).to_string());
    let refused: &[(&str, &[&str])] = &[
        // A name that an attacker points at this machine.
        ("POST /agent/chat", &["Host: rebound.example", JSON]),
        (
            "POST /agent/chat",
            &["Host: localhost.rebound.example", JSON],
        ),
        ("POST /agent/chat", &["Host: x@HERE", JSON]),
        (
            "POST /agent/chat",
            &["Host: HERE", "Host: rebound.example", JSON],
        ),
        (
            "POST http://rebound.example/agent/chat",
            &["Host: HERE", JSON],
        ),
        // Another site's page, or another program's page on this machine.
        (
            "POST /agent/chat",
            &["Host: HERE", "Origin: https://evil.example", JSON],
        ),
        (
            "POST /agent/chat",
            &["Host: HERE", "Origin: http://127.0.0.1:1", JSON],
        ),
        ("POST /agent/chat", &["Host: HERE", "Origin: null", JSON]),
        (
            "POST /agent/chat",
            &[
                "Host: HERE",
                "Origin: http://HERE",
                "Origin: https://evil.example",
                JSON,
            ],
        ),
        (
            "POST /agent/chat",
            &[
                "Host: HERE",
                "Origin: http://HERE",
                "Sec-Fetch-Site: same-site",
                JSON,
            ],
        ),
        (
            "POST /agent/approvals/00000000-0000-7000-8000-000000000001",
            &["Host: HERE", "Sec-Fetch-Site: cross-site", JSON],
        ),
        (
            "GET /agent/chat/stream?message=hello",
            &[
                "Host: HERE",
                "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Mode: navigate",
            ],
        ),
        (
            "GET /agent/runs/00000000-0000-7000-8000-000000000001",
            &[
                "Host: HERE",
                "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Mode: navigate",
            ],
        ),
        // An image on a foreign page in a browser that does not say where it comes from.
        (
            "GET /agent/chat/stream?message=hello",
            &["Host: HERE", "User-Agent: Mozilla/5.0"],
        ),
        (
            "GET /api/agent/chat/stream?message=hello",
            &[
                "Host: HERE",
                "User-Agent: Mozilla/5.0",
                "Referer: https://evil.example/",
            ],
        ),
        ("GET /healthz", &["Host: rebound.example"]),
    ];
    for (line, headers) in refused {
        let body = if line.starts_with("POST") {
            hello.as_str()
        } else {
            ""
        };
        assert_eq!(
            status(address, line, headers, body).await,
            403,
            "{line} {headers:?}"
        );
    }
    assert!(
        matches!(
            status(address, "POST /agent/chat", &[JSON], &hello).await,
            400 | 403
        ),
        "no Host at all"
    );
    assert_eq!(world.content("agent").await, before);
    for (line, headers, body) in [
        (
            "POST /agent/chat",
            &["Host: HERE", JSON][..],
            hello.as_str(),
        ),
        (
            "POST /agent/chat",
            &[
                "Host: HERE",
                "Origin: http://HERE",
                "Sec-Fetch-Site: same-origin",
                JSON,
            ],
            &hello,
        ),
        (
            "GET /",
            &[
                "Host: HERE",
                "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Mode: navigate",
            ],
            "",
        ),
        ("GET /healthz", &["Host: HERE"], ""),
        (
            "GET /agent/chat/stream?message=hello",
            &[
                "Host: HERE",
                "User-Agent: Mozilla/5.0",
                "Referer: http://HERE/",
            ],
            "",
        ),
        (
            "GET /agent/chat/stream?message=hello",
            &["Host: HERE", "User-Agent: curl/8.5"],
            "",
        ),
    ] {
        assert_eq!(
            status(address, line, headers, body).await,
            200,
            "{line} {headers:?}"
        );
    }
}

#[tokio::test]
async fn only_this_machine_reaches_the_tool_server() {
    let world = World::open().await;
    let before = world.content("shop").await;
    let address = world.shop.address;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "inventory_add_item",
        "arguments": {"name": "Sugar", "unit_price": "160"}}})
    .to_string();
    let typed = [
        "Accept: application/json, text/event-stream",
        "MCP-Protocol-Version: 2025-11-25",
        JSON,
    ];
    let post = |headers: &'static [&'static str]| {
        let (headers, call) = ([headers, &typed[..]].concat(), call.clone());
        async move { status(address, "POST /mcp", &headers, &call).await }
    };
    for headers in [
        &["Host: rebound.example"][..],
        &["Host: 127.0.0.1.rebound.example"],
        &["Host: HERE", "Origin: https://evil.example"],
        &["Host: HERE", "Origin: null"],
        &[
            "Host: HERE",
            "Origin: https://evil.example",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Mode: navigate",
        ],
        &["Host: HERE", "Sec-Fetch-Site: cross-site"],
        &[
            "Host: HERE",
            "Sec-Fetch-Site: same-site",
            "Sec-Fetch-Mode: cors",
        ],
        &["Host: HERE", "Host: rebound.example"],
        &[
            "Host: HERE",
            "Origin: http://HERE",
            "Origin: https://evil.example",
        ],
        &["Host: HERE@rebound.example"],
    ] {
        assert_eq!(post(headers).await, 403, "{headers:?}");
    }
    assert_eq!(
        status(
            address,
            "POST http://rebound.example/mcp",
            &[&["Host: HERE"], &typed[..]].concat(),
            &call
        )
        .await,
        403
    );
    assert_eq!(
        post(&["Host: HERE", "Authorization: Bearer rubbish"]).await,
        401
    );
    assert_eq!(
        status(
            address,
            "GET /mcp",
            &["Host: HERE", "Accept: text/event-stream"],
            ""
        )
        .await,
        405,
        "stateless: nothing to listen to"
    );
    assert_eq!(
        status(address, "GET /nothing", &["Host: HERE"], "").await,
        404
    );
    assert_eq!(world.content("shop").await, before);
    assert_eq!(post(&["Host: HERE"]).await, 200);
    assert_eq!(
        world
            .number("select count(*) from shop.items where name = 'Sugar'")
            .await,
        1
    );
    // Balancers need no name and learn nothing.
    for path in ["GET /healthz", "GET /readyz"] {
        assert_eq!(status(address, path, &["Host: balancer"], "").await, 200);
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
