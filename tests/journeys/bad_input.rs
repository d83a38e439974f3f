//! What makes no sense is answered with a clear error, and nothing is stored.

use std::sync::Arc;

use contracts::http::problem::Problem;
use contracts::tool::Effect;
use e2e::examples;
use e2e::world::mcp::{MODERN, McpClient, OLDER, refused, send, signed_with};
use e2e::world::model::Rehearsed;
use e2e::world::sse::Stream;
use e2e::world::{Setting, World};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// The agent refuses with a problem: a stable code, a sentence for the person, the request's id.
async fn is_problem(request: RequestBuilder, status: u16, code: &str, what: &str) -> Problem {
    let answer = request
        .send()
        .await
        .unwrap_or_else(|e| panic!("{what}: no answer: {e:?}"));
    assert_eq!(answer.status().as_u16(), status, "{what}");
    assert_eq!(
        answer.headers()["content-type"],
        "application/problem+json",
        "{what}"
    );
    let id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap_or_default()
        .to_owned();
    let text = answer.text().await.expect("a body");
    let problem: Problem =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{what}: {e}: {text}"));
    assert_eq!(
        problem.kind,
        format!("urn:countersign:problem:{code}"),
        "{what}: {text}"
    );
    assert_eq!(problem.request_id, Some(id), "{what}");
    assert!(problem.detail.ends_with('.'), "{what}: {}", problem.detail);
    for technical in [
        "expected",
        "column",
        "invalid type",
        "sqlx",
        "relation",
        "panicked",
    ] {
        assert!(
            !problem.detail.contains(technical),
            "{what}: {}",
            problem.detail
        );
    }
    problem
}

/// What cannot be read: `status code: request`, headers after `|`, the body after `<`.
const UNREADABLE: &str = r#"
400 invalid_request: POST /agent/chat < {"message"
400 invalid_request: POST /agent/chat <
400 invalid_request: POST /agent/chat < {}
400 invalid_request: POST /agent/chat < []
400 invalid_request: POST /agent/chat < "hello"
400 invalid_request: POST /agent/chat < {"session_id": "s"}
400 invalid_request: POST /agent/chat < {"message": 7}
400 invalid_request: POST /agent/chat < {"message": null}
400 invalid_request: POST /agent/chat < {"message": "a\u0000b"}
400 invalid_request: POST /agent/chat < {"message": "\u001b[2J"}
400 invalid_request: POST /agent/chat < {"messages": []}
400 invalid_request: POST /agent/chat < {"messages": [{"role": "assistant", "parts": [{"state": "approval-responded", "approval": {"id": "x", "approved": true}}]}]}
400 invalid_session_id: POST /agent/chat < {"message": "x", "session_id": "a b"}
400 invalid_session_id: POST /agent/chat < {"message": "x", "session_id": ""}
400 invalid_session_id: POST /agent/chat < {"message": "x", "session_id": 7}
400 invalid_session_id: POST /agent/chat < {"message": "x", "session_id": "a/../b"}
400 invalid_session_id: POST /agent/chat < {"message": "x", "session_id": "é"}
422 empty_message: POST /agent/chat < {"message": ""}
422 empty_message: POST /agent/chat < {"message": " \n\t "}
415 unsupported_media_type: POST /agent/chat | Content-Type: text/plain < {"message": "x"}
415 unsupported_media_type: POST /agent/chat | Content-Type: application/x-www-form-urlencoded < message=x
400 invalid_request: POST /agent/chat | Idempotency-Key: a b < {"message": "x"}
400 invalid_request: POST /api/agent/chat < {"message": [{"message": "x"}]}
405 method_not_allowed: GET /agent/chat
405 method_not_allowed: PUT /agent/chat < {"message": "x"}
405 method_not_allowed: DELETE /api/agent/chat
404 not_found: GET /agent/nothing
404 not_found: GET /api/nothing
404 not_found: POST /agent/chat/ < {"message": "x"}
400 invalid_request: GET /agent/runs/7
404 not_found: GET /agent/runs/00000000-0000-0000-0000-000000000007
404 not_found: GET /agent/chat/unknown/stream
400 invalid_session_id: GET /agent/chat/a%20b/stream
400 invalid_session_id: GET /agent/chat/%FF/stream
400 invalid_request: GET /agent/chat/stream
422 empty_message: GET /agent/chat/stream?message=
400 invalid_request: GET /agent/chat/stream?message=a&message=b
400 invalid_request: GET /agent/chat/stream?message=a&request_id=a%20b
400 invalid_request: GET /agent/chat/stream?message=a%00b
400 invalid_session_id: GET /agent/chat/stream?message=a&session_id=a%20b
400 invalid_request: GET /agent/chat/stream?message=a | Last-Event-ID: 12
404 not_found: GET /agent/chat/stream?message=a | Last-Event-ID: 00000000-0000-0000-0000-000000000007:1
400 invalid_request: POST /agent/approvals/x < {"decision": "approve"}
400 invalid_request: POST /agent/approvals/00000000-0000-0000-0000-000000000007 < {"decision": "maybe"}
400 invalid_request: POST /agent/approvals/00000000-0000-0000-0000-000000000007 < {"decision": "deny", "reason": "\u0007"}
404 not_found: POST /agent/approvals/00000000-0000-0000-0000-000000000007 < {"decision": "deny"}
403 forbidden: POST /agent/chat | Origin: https://evil.example < {"message": "x"}
403 forbidden: POST /agent/chat | Origin: null < {"message": "x"}
403 forbidden: POST /agent/chat | Sec-Fetch-Site: cross-site < {"message": "x"}
403 forbidden: POST /agent/chat | Host: rebound.example < {"message": "x"}
403 forbidden: GET /agent/chat/stream?message=a | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate
"#;

fn request(world: &World, line: &str, body: &str) -> RequestBuilder {
    let mut parts = line.split(" | ");
    let (method, path) = parts
        .next()
        .and_then(|p| p.split_once(' '))
        .expect("METHOD path");
    let method: Method = method.parse().expect("a method");
    let mut request = world
        .http
        .request(method.clone(), format!("{}{path}", world.agent.url()));
    let mut typed = false;
    for part in parts {
        let (name, value) = part.split_once(": ").expect("Name: value");
        typed |= name == "Content-Type";
        request = request.header(name, value);
    }
    if method != Method::GET && !typed {
        request = request.header("Content-Type", "application/json");
    }
    if body.is_empty() {
        request
    } else {
        request.body(body.to_owned())
    }
}

#[tokio::test]
async fn the_agent_answers_what_it_cannot_read_and_stores_nothing() {
    let world = World::open().await;
    let (agent, shop) = (world.content("agent").await, world.content("shop").await);
    for row in UNREADABLE.lines().filter(|row| !row.is_empty()) {
        let (expected, rest) = row.split_once(": ").expect("status code: request");
        let (status, code) = expected.split_once(' ').expect("status code");
        let (line, body) = rest.split_once(" <").unwrap_or((rest, ""));
        is_problem(
            request(&world, line, body.trim()),
            status.parse().expect("a status"),
            code,
            row,
        )
        .await;
    }
    let chat = |body: Value| {
        world
            .http
            .post(format!("{}/agent/chat", world.agent.url()))
            .json(&body)
    };
    is_problem(
        chat(json!({"message": "é".repeat(2001)})),
        422,
        "message_too_long",
        "2,001 characters",
    )
    .await;
    is_problem(
        chat(json!({"message": "x", "session_id": "x".repeat(129)})),
        400,
        "invalid_session_id",
        "129 characters",
    )
    .await;
    is_problem(
        chat(json!({"message": "x".repeat(10_000_000)})),
        413,
        "too_large",
        "10 MB",
    )
    .await;
    let allow = world.get("/agent/chat").await;
    assert_eq!(allow.headers()["allow"], "POST");
    assert_eq!(world.content("agent").await, agent);
    assert_eq!(world.content("shop").await, shop);
    // And what is just within bounds is worked on.
    assert_eq!(
        chat(json!({"message": "é".repeat(2000), "session_id": "x".repeat(128)}))
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
}

#[tokio::test]
async fn what_the_engine_refuses_is_a_problem_too() {
    let model = Rehearsed::default();
    let variables = [
        ("SESSION_WHEN_BUSY", "refuse".to_owned()),
        ("RUNS_PER_USER_MAX", "2".to_owned()),
    ]
    .into();
    let world = World::open_with(Setting {
        model: Some(Arc::new(model.clone())),
        variables,
        ..Setting::default()
    })
    .await;
    let chat = |session: &str, message: &str| {
        world
            .http
            .post(format!("{}/agent/chat", world.agent.url()))
            .json(&json!({"session_id": session, "message": message}))
    };
    let held = |session: &'static str| async move {
        Stream::of(
            chat(session, "hold")
                .header("accept", "text/event-stream")
                .send()
                .await
                .expect("a stream"),
        )
    };
    let (mut one, mut two) = (held("one").await, held("two").await);
    one.until("text-delta").await;
    two.until("text-delta").await;
    let before = world.content("agent").await;
    is_problem(
        chat("one", "hello"),
        409,
        "session_busy",
        "a second message",
    )
    .await;
    let wanted = chat("three", "hello");
    let too_many = wanted
        .try_clone()
        .expect("a copy")
        .send()
        .await
        .expect("an answer");
    assert_eq!(too_many.headers()["retry-after"], "5");
    is_problem(wanted, 429, "rate_limited", "a third run").await;
    assert_eq!(
        world.content("agent").await.get("agent_messages"),
        before.get("agent_messages")
    );
    model.go_on();
    model.go_on();
    assert!(one.end().await.is_done() && two.end().await.is_done());
}

#[tokio::test]
async fn a_key_belongs_to_one_message() {
    let world = World::open().await;
    let keyed = |message: &str| {
        world
            .http
            .post(format!("{}/agent/chat", world.agent.url()))
            .json(&json!({"session_id": "s", "message": message}))
            .header("idempotency-key", "k")
            .header("x-request-id", "mine-1")
    };
    assert_eq!(
        keyed("hello").send().await.expect("an answer").status(),
        200
    );
    let conflict = is_problem(
        keyed("goodbye"),
        409,
        "conflict",
        "the key of another message",
    )
    .await;
    assert_eq!(
        conflict.request_id.as_deref(),
        Some("mine-1"),
        "a caller's own id is kept"
    );
}

#[tokio::test]
async fn a_tool_server_that_is_gone_is_said_in_one_sentence() {
    let world = World::open().await;
    world.shop.stop().await;
    let chat = world
        .http
        .post(format!("{}/agent/chat", world.agent.url()))
        .json(&json!({"message": "What do we have in stock?"}));
    let problem = is_problem(chat, 503, "unavailable", "no tool server").await;
    assert_eq!(
        problem.detail,
        "Unable to reach the system. Please try again."
    );
}

// The tool server.

/// Calls that make no sense, a tool and its arguments each.
const SENSELESS: &str = r#"
billing_create_bill {"lines": []}
billing_create_bill {"lines": [{"item": "Soap", "quantity": "1"}], "discount": "-1"}
billing_create_bill {"lines": [{"item": "Soap", "quantity": "1"}], "discount": "301"}
billing_create_bill {"lines": [{"item": "Soap", "quantity": "1"}], "discount": "0.5"}
billing_create_bill {"lines": [{"item": "Soap", "quantity": "1"}], "currency": "USD"}
billing_create_bill {"lines": [{"item": "Soap", "quantity": "1"}], "due_on": "2020-01-01"}
billing_create_bill {"lines": [{"item": "Soap", "quantity": "1"}], "payment": {"method": "cash", "amount": "301"}}
billing_create_bill {"lines": [{"item": "Soap", "quantity": "1"}], "payment": {"method": "barter"}}
billing_get_bill {"bill": "INV-99"}
billing_void_bill {"bill": "'; drop table shop.bills; --"}
inventory_update_item {"item": "Flour"}
inventory_update_item {"item": "Flour", "change": {}}
inventory_update_item {"item": "Flour", "adjust": {"delta": "1"}, "change": {"name": "Meal"}}
inventory_update_item {"item": "Flour", "count": {"quantity": "-1", "expected_version": 1}}
inventory_update_item {"item": "Flour", "adjust": {"delta": "0", "unit": "kg"}}
inventory_update_item {"item": "Flour", "adjust": {"delta": "-51", "unit": "kg"}}
inventory_update_item {"item": "Flour", "adjust": {"delta": "1", "unit": "l"}}
inventory_update_item {"item": "Flour", "adjust": {"delta": "1", "unit": "rubbish"}}
inventory_list_items {"limit": 101}
inventory_list_items {"limit": -1}
inventory_list_items {"limit": 4294967296}
sales_summary {"from": "2026-02-30"}
sales_summary {"from": "2026-02-02", "to": "2026-02-01"}
confirm_action {"confirmation_id": "00000000-0000-7000-8000-00000000ffff"}
"#;

/// What a new item is spoilt with, a member and its value each.
const SENSELESS_ITEMS: &str = r#"
unit_price "-160"
unit_price -160
quantity "-20"
low_stock_level "-1"
unit "furlong"
quantity_unit "l"
currency "USD"
currency "rubbish"
name ""
name " \n "
aliases [{"name": ""}]
units [{"unit": "bag", "quantity": "0"}]
units [{"unit": "bag", "quantity": "-25"}]
"#;

/// What a line of a bill is spoilt with.
const SENSELESS_LINES: &str = r#"
quantity "0"
quantity "-2"
unit "kg"
unit "rubbish"
unit_price "-1"
item ""
item "unobtainium"
"#;

/// No numbers: words, exponents, infinity, hexadecimal, other digits, too precise, too large, an attack.
const NO_NUMBERS: [&str; 16] = [
    "NaN",
    "inf",
    "-inf",
    "1e3",
    "1E-7",
    "0x10",
    "٣",
    "1,5",
    "1.2.3",
    "",
    " ",
    "--1",
    "1.1234567",
    "1234567890123",
    "1;2",
    "1\u{0}",
];
/// What cannot be seen, or stored.
const UNSEEN: [&str; 6] = [
    "a\u{0}b",
    "a\u{7}b",
    "a\u{1b}[31mb",
    "a\u{202e}b",
    "a\u{200b}b",
    "\u{feff}",
];

type ToolCall = (String, Value);

/// `word JSON` lines.
fn rows(table: &str) -> impl Iterator<Item = (String, Value)> {
    let rows = table.lines().filter(|row| !row.is_empty());
    rows.map(|row| {
        let (word, json) = row.split_once(' ').expect("a word and JSON");
        (word.to_owned(), serde_json::from_str(json).expect(row))
    })
}

fn item_with(name: &str, value: Value) -> ToolCall {
    let mut item = json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"});
    item[name] = value;
    ("inventory_add_item".to_owned(), item)
}

fn line_with(name: &str, value: Value) -> ToolCall {
    let mut line = json!({"item": "Soap", "quantity": "1"});
    line[name] = value;
    let bill = json!({"customer": "Ali", "lines": [line]});
    ("billing_create_bill".to_owned(), bill)
}

fn adjusted_by(delta: &Value) -> ToolCall {
    let arguments = json!({"item": "Flour", "adjust": {"delta": delta, "unit": "kg"}});
    ("inventory_update_item".to_owned(), arguments)
}

fn bill_of(customer: &str, lines: usize) -> ToolCall {
    let line = json!({"item": "Soap", "quantity": "1"});
    let bill = json!({"customer": customer, "lines": vec![line; lines]});
    ("billing_create_bill".to_owned(), bill)
}

fn senseless() -> Vec<ToolCall> {
    let mut calls: Vec<ToolCall> = rows(SENSELESS).collect();
    calls.extend(rows(SENSELESS_ITEMS).map(|(name, value)| item_with(&name, value)));
    calls.extend(rows(SENSELESS_LINES).map(|(name, value)| line_with(&name, value)));
    let numbers = NO_NUMBERS.iter().map(|text| json!(text));
    let too_much = [
        json!(1e300),
        json!(1.234_567_8),
        json!(i64::MAX),
        json!(u64::MAX),
    ];
    for number in numbers.chain(too_much) {
        calls.push(item_with("quantity", number.clone()));
        calls.push(item_with("unit_price", number.clone()));
        calls.push(line_with("quantity", number.clone()));
        calls.push(adjusted_by(&number));
    }
    for (name, characters) in [
        ("name", 81),
        ("name", 100_000),
        ("category", 41),
        ("sku", 41),
    ] {
        calls.push(item_with(name, json!("x".repeat(characters))));
    }
    calls.push(line_with("item", json!("x".repeat(100_000))));
    calls.push(bill_of("Ali", 200));
    calls.push(bill_of(&"x".repeat(121), 1));
    for text in UNSEEN {
        calls.extend(["name", "category", "sku"].map(|name| item_with(name, json!(text))));
        calls.push(line_with("item", json!(text)));
        calls.push(bill_of(text, 1));
        calls.push(("inventory_get_item".to_owned(), json!({"item": text})));
    }
    calls
}

#[tokio::test]
async fn the_tool_server_refuses_senseless_numbers_names_and_lists() {
    let world = World::open().await;
    let client = world.asking_client();
    let before = world.content("shop").await;
    for (tool, arguments) in senseless() {
        let shown: String = arguments.to_string().chars().take(200).collect();
        let result = client.call(&tool, &arguments).await;
        assert_eq!(result["isError"], true, "{tool} {shown}: {result}");
        let failure = refused(&result);
        let faults = ["internal", "timeout", "unavailable"];
        assert!(
            !faults.contains(&failure["code"].as_str().unwrap_or_default()),
            "{tool} {shown}: {failure}"
        );
        let text = failure.to_string();
        assert!(text.len() < 4_000, "{tool} {shown}: echoes too much");
        for technical in ["sqlx", "relation", "violates", "syntax error"] {
            assert!(!text.contains(technical), "{tool} {shown}: {failure}");
        }
    }
    assert_eq!(world.content("shop").await, before);
}

#[tokio::test]
async fn words_that_look_like_code_are_words() {
    let world = World::open().await;
    let client = world.asking_client();
    let attacks = [
        "'; drop table shop.items; --",
        "\" or 1=1 --",
        "$1",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "%s%n",
        "../../etc/passwd",
        "\\'; select pg_sleep(60); --",
    ];
    for name in attacks {
        let item = json!({"name": name, "category": name, "unit_price": "1", "quantity": "1", "aliases": [{"name": format!("{name} too")}]});
        let result = client.call("inventory_add_item", &item).await;
        assert_ne!(result["isError"], true, "{name}: {result}");
        let found = client
            .call(
                "inventory_get_item",
                &json!({"item": format!("{name} too")}),
            )
            .await;
        assert_eq!(
            found["structuredContent"]["item"]["category"], name,
            "stored as it was typed"
        );
        let listed = client
            .call("inventory_list_items", &json!({"query": name}))
            .await;
        assert_eq!(
            listed["structuredContent"]["items"][0]["name"], name,
            "{listed}"
        );
    }
    assert_eq!(
        world.number("select count(*) from shop.items").await,
        6 + i64::try_from(attacks.len()).expect("few")
    );
    // On the approval page too.
    let bill = json!({"customer": attacks[4], "lines": [{"item": attacks[4], "quantity": "1"}]});
    let required = world.mcp(OLDER).call("billing_create_bill", &bill).await;
    let page = world
        .http
        .get(
            required["structuredContent"]["approval_url"]
                .as_str()
                .unwrap_or_default(),
        )
        .send()
        .await
        .expect("a page");
    let page = page.text().await.expect("a page");
    assert!(
        page.contains("alert(1)") && !page.contains("<script"),
        "{page}"
    );
}

/// Every way to spoil one value of a schema: the path to it, and what to put there. Objects and lists are spoilt inside as well.
fn spoilt(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        let options = property["oneOf"]
            .as_array()
            .or_else(|| property["anyOf"].as_array());
        let kinds: Vec<&str> = match (property["type"].as_str(), options) {
            (Some(kind), _) => vec![kind],
            (None, Some(options)) => options.iter().filter_map(|o| o["type"].as_str()).collect(),
            (None, None) => panic!("{path} has no type: {property}"),
        };
        // Decimals are taken as numbers too, and null is taken as absent: some clients send both.
        let lenient =
            property["pattern"].is_string() || property["properties"]["pattern"].is_string();
        for (kind, wrong) in [
            ("boolean", json!(true)),
            ("integer", json!(7)),
            ("string", json!("\u{2603}")),
            ("array", json!([])),
            ("array", json!(["1"])),
            ("array", json!(["1", "each"])),
            ("object", json!({})),
            ("object", json!({"a": {"b": []}})),
        ] {
            let number = kind == "integer" && (lenient || kinds.contains(&"number"));
            let taken = kinds.contains(&kind) || number;
            if !taken {
                found.push((path.clone(), wrong));
            }
        }
        if kinds.contains(&"integer") {
            found.extend([json!(1.5), json!(-1e300)].map(|wrong| (path.clone(), wrong)));
        }
        if kinds.contains(&"object") {
            spoilt(property, &path, found);
            found.push((format!("{path}/unheard_of"), json!(1)));
        }
        if kinds.contains(&"array") {
            let text = property["items"]["type"] == "string";
            for wrong in [json!(7), json!("x"), json!([["a", "1"]]), json!(true)] {
                if !(text && wrong.is_string()) {
                    found.push((path.clone(), json!([wrong])));
                }
            }
            spoilt(&property["items"], &format!("{path}/0"), found);
            found.push((format!("{path}/0/unheard_of"), json!(1)));
        }
    }
    found.push((format!("{path}/unheard_of"), json!(1)));
}

/// Puts a value at a path, making what is missing on the way.
fn put(arguments: &mut Value, path: &str, value: Value) {
    let mut place = arguments;
    for name in path.trim_start_matches('/').split('/') {
        place = match name.parse::<usize>() {
            Ok(0) => {
                if !place.is_array() {
                    *place = json!([{}]);
                }
                &mut place[0]
            }
            _ => {
                if !place.is_object() {
                    *place = json!({});
                }
                &mut place[name]
            }
        };
    }
    *place = value;
}

/// A shop that has lived through the examples, so that their arguments name what is there.
async fn lived_in() -> World {
    let world = examples::shop().await;
    examples::play(&world).await;
    world
}

/// Name and schema of every tool, as a client is offered them.
async fn offered(client: &McpClient) -> Vec<(String, Value)> {
    let listed = client.request("tools/list", json!({})).await.result();
    let tools = listed["tools"].as_array().expect("tools").iter();
    tools
        .map(|tool| {
            let name = tool["name"].as_str().unwrap_or_default().to_owned();
            (name, tool["inputSchema"].clone())
        })
        .collect()
}

#[tokio::test]
async fn every_argument_of_every_tool_is_checked() {
    let world = lived_in().await;
    let client = world.asking_client();
    let before = world.content("shop").await;
    let mut tried = 0;
    let mut wrong = Vec::new();
    for (name, schema) in offered(&client).await {
        let good = examples::good(&name);
        let mut ways = Vec::new();
        spoilt(&schema, "", &mut ways);
        let mut all: Vec<Value> = ways
            .into_iter()
            .map(|(path, value)| {
                let mut arguments = good.clone();
                put(&mut arguments, &path, value);
                arguments
            })
            .collect();
        for required in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            let mut arguments = good.clone();
            arguments
                .as_object_mut()
                .and_then(|map| map.remove(required))
                .expect("it is there");
            all.push(arguments);
        }
        for arguments in all {
            tried += 1;
            let result = client.call(&name, &arguments).await;
            let failure = if result["isError"] == true {
                refused(&result)
            } else {
                Value::Null
            };
            if failure["code"] != "invalid_arguments" || !failure["field"].is_string() {
                wrong.push(format!("{name} {arguments}: {result}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(tried > 300, "only {tried} ways to be wrong");
    assert_eq!(world.content("shop").await, before);
}

/// Text that looks like something else, or is unlike what programmers type. No reason to refuse it where a name is wanted, none to
/// fail over it anywhere.
const STRANGE: [&str; 12] = [
    "",
    " ",
    "last",
    "0",
    "-1",
    "'; drop table shop.items; --",
    "\\'; select pg_sleep(60); --",
    "{\"$gt\": \"\"}",
    "{{7*7}} ${7*7} %s%n",
    "<script>alert(1)</script>",
    "\u{645}\u{62d}\u{645}\u{62f} \u{1f35a} \u{7cd6} e\u{301}",
    "../../etc/passwd",
];
const NO_DATES: [&str; 7] = [
    "tomorrow",
    "2030-02-30",
    "2030-13-01",
    "0000-00-00",
    "01/02/2030",
    "100000000000-01-01",
    "2030-01-07'; --",
];

/// What one argument may be given by somebody careless or hostile.
struct Values {
    /// Refused, whatever else the call says.
    wrong: Vec<Value>,
    /// Refused, or done as it says.
    strange: Vec<Value>,
}

/// The values to try for a schema that is not an object.
fn hostile(path: &str, schema: &Value) -> Values {
    let texts = |all: &[&str]| all.iter().map(|t| json!(t)).collect::<Vec<_>>();
    let long = json!("x".repeat(100_000));
    let choice = schema["enum"].is_array() || schema["oneOf"].is_array();
    let (wrong, strange) = match (schema["type"].as_str(), schema["format"].as_str()) {
        _ if choice => (texts(&STRANGE), vec![]),
        (Some("string"), Some("date")) => (
            texts(&NO_DATES),
            texts(&["0001-01-01", "9999-12-31", "2028-02-29"]),
        ),
        (Some("string"), Some(_)) => (texts(&STRANGE), vec![]),
        (Some("string"), None) if schema["pattern"].is_string() => {
            let mut wrong = texts(&NO_NUMBERS);
            wrong.extend([long, json!(1e300), json!(i64::MAX), json!(u64::MAX)]);
            let edges = [
                "0",
                "-1",
                "-0",
                "0.000001",
                "999999999999.999999",
                "-999999999999.999999",
            ];
            (wrong, texts(&edges))
        }
        // A key is never shown or stored as a name: all it must not be is too long, or impossible to store.
        (Some("string"), None) if path.ends_with("/idempotency_key") => (
            vec![long, json!("x".repeat(256)), json!("a\0b"), json!("")],
            vec![],
        ),
        (Some("string"), None) => {
            let mut wrong = texts(&UNSEEN);
            wrong.push(long);
            (wrong, texts(&STRANGE))
        }
        (Some("integer"), _) => (
            vec![json!(u64::MAX), json!(1e19), json!(-1e19), json!(0.5)],
            vec![
                json!(0),
                json!(-1),
                json!(i64::MAX),
                json!(i64::MIN),
                json!(u32::MAX),
            ],
        ),
        (Some("number"), _) => (
            vec![json!(1e300), json!(-1e300)],
            vec![json!(0), json!(-90), json!(180), json!(5e-324)],
        ),
        (Some("array"), _) => (vec![json!(vec!["x"; 10_000])], vec![json!([])]),
        _ => (vec![], vec![]),
    };
    Values { wrong, strange }
}

/// Every argument of a schema that is not an object, with its path.
fn leaves(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        match property["type"].as_str() {
            Some("object") => leaves(property, &path, found),
            Some("array") => {
                found.push((path.clone(), property.clone()));
                let item = &property["items"];
                if item["type"] == "object" {
                    leaves(item, &format!("{path}/0"), found);
                } else {
                    found.push((format!("{path}/0"), item.clone()));
                }
            }
            _ => found.push((path, property.clone())),
        }
    }
}

/// What must hold of every refusal: something a model can repair, said without our inside.
fn is_repairable(failure: &Value) -> Result<(), &'static str> {
    let text = failure.to_string();
    if ["internal", "timeout", "unavailable"]
        .contains(&failure["code"].as_str().unwrap_or_default())
    {
        return Err("a fault of ours");
    }
    if text.len() > 4_000 {
        return Err("echoes too much");
    }
    match ["sqlx", "relation", "violates", "syntax error", "panicked"]
        .iter()
        .any(|t| text.contains(t))
    {
        true => Err("shows our inside"),
        false => Ok(()),
    }
}

/// Tables that a question may write to although nothing is done: the question itself and its key.
const OF_QUESTIONS: [&str; 2] = ["confirmations", "idempotency"];
/// Bookings that somebody has agreed to: a time is held while the question is open.
const AGREED_BOOKINGS: &str = "select md5(coalesce(string_agg(md5(b::text), '' order by md5(b::text)), '')) from shop.bookings b
    where status not in ('held', 'expired')";

fn effect(tool: &str) -> Effect {
    let sheets = contracts::tools::sheets();
    let sheet = sheets.iter().find(|sheet| sheet.name == tool);
    sheet.expect("a tool of ours").effect
}

async fn business(world: &World) -> std::collections::BTreeMap<String, String> {
    let mut content = world.content("shop").await;
    content.retain(|table, _| !OF_QUESTIONS.contains(&table.as_str()));
    content.insert("bookings".to_owned(), world.text(AGREED_BOOKINGS).await);
    content
}

/// What came of one call.
#[derive(Default)]
struct Tally {
    refused: usize,
    done: usize,
    faults: Vec<String>,
}

impl Tally {
    /// Makes a call, and says whether it was refused.
    async fn call(
        &mut self,
        client: &McpClient,
        tool: &str,
        arguments: &Value,
        wrong: bool,
    ) -> bool {
        let shown: String = arguments.to_string().chars().take(300).collect();
        let result = client.call(tool, arguments).await;
        if result["isError"] == true {
            self.refused += 1;
            if let Err(fault) = is_repairable(&refused(&result)) {
                self.faults
                    .push(format!("{fault}: {tool} {shown}: {result}"));
            }
            return true;
        }
        if wrong {
            self.faults.push(format!("taken: {tool} {shown}: {result}"));
        }
        self.done += usize::from(result["resultType"] != "input_required");
        false
    }
}

#[tokio::test]
async fn whatever_an_argument_holds_the_answer_can_be_repaired_and_nothing_is_half_done() {
    let world = lived_in().await;
    let client = world.asking_client();
    let mut tally = Tally::default();
    for (name, schema) in offered(&client).await {
        let good = examples::good(&name);
        let with = |path: &str, value: Value| {
            let mut call = good.clone();
            put(&mut call, path, value);
            call
        };
        let mut arguments = Vec::new();
        leaves(&schema, "", &mut arguments);
        let mut before = business(&world).await;
        for (path, leaf) in &arguments {
            for value in hostile(path, leaf).wrong {
                tally.call(&client, &name, &with(path, value), true).await;
            }
        }
        assert_eq!(
            business(&world).await,
            before,
            "{name} wrote what it refused"
        );
        // A read does nothing and a commit asks; what a write does is told from what it refuses call by call.
        let writes = effect(&name) == Effect::Write;
        for (path, leaf) in &arguments {
            for value in hostile(path, leaf).strange {
                let call = with(path, value);
                let refused = tally.call(&client, &name, &call, false).await;
                if writes {
                    let after = business(&world).await;
                    assert!(
                        !refused || after == before,
                        "{name} wrote and refused {call}"
                    );
                    before = after;
                }
            }
        }
        assert_eq!(
            business(&world).await,
            before,
            "{name} did what nobody agreed to"
        );
    }
    let Tally {
        refused,
        done,
        faults,
    } = tally;
    assert!(
        faults.is_empty(),
        "{}:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(
        refused > 500 && done > 100,
        "{refused} refused, {done} done"
    );
    for rule in mcp_server::invariants::all() {
        assert_eq!(world.number(rule.broken).await, 0, "{}", rule.says);
    }
}

fn delete(client: &McpClient) -> RequestBuilder {
    let call = json!({"name": "inventory_delete_item", "arguments": {"item": "Soap"}});
    client.prepare("tools/call", call)
}

#[tokio::test]
async fn what_is_no_request_is_refused_before_any_tool() {
    let world = World::open().await;
    let before = world.content("shop").await;
    let client = world.mcp(MODERN);
    let huge = json!({"name": "inventory_add_item", "arguments": {"name": "x".repeat(10_000_000), "unit_price": "1"}});
    assert_eq!(send(client.prepare("tools/call", huge)).await.status, 413);
    for body in [
        "",
        "{",
        "[]",
        "7",
        "{\"jsonrpc\": \"2.0\"}",
        "{\"jsonrpc\": \"1.0\", \"id\": 1, \"method\": \"tools/list\"}",
    ] {
        let status = send(client.prepare("tools/list", json!({})).body(body))
            .await
            .status;
        assert!(status.is_client_error(), "{body}: {status}");
    }
    let array = client
        .request(
            "tools/call",
            json!({"name": "inventory_get_item", "arguments": ["Soap"]}),
        )
        .await;
    assert!(
        array.status.is_client_error() || array.body.get("error").is_some(),
        "{}",
        array.body
    );
    for (name, value) in [
        ("host", "rebound.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(
            send(delete(&client).header(name, value)).await.status,
            403,
            "{name}: {value}"
        );
    }
    assert_eq!(world.content("shop").await, before);
    assert_eq!(
        send(delete(&client)).await.status,
        200,
        "and without all that it is a question"
    );
}

#[tokio::test]
async fn a_bad_token_is_told_to_get_a_good_one() {
    let world = World::open().await;
    let before = world.content("shop").await;
    let client = world.mcp(MODERN);
    let good = world.claims();
    let spoil = |change: &dyn Fn(&mut contracts::token::AgentClaims)| {
        let mut claims = world.claims();
        change(&mut claims);
        world.signed(&claims)
    };
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let payload = world
        .signed(&good)
        .split('.')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    for (what, token) in [
        ("nothing", String::new()),
        ("no token", "rubbish".to_owned()),
        ("another key", signed_with(&good, &[1; 32])),
        ("no signature", format!("{unsigned}.{payload}.")),
        (
            "expired",
            spoil(&|c| (c.iat, c.exp) = (c.iat - 120, c.exp - 120)),
        ),
        (
            "not yet valid",
            spoil(&|c| (c.iat, c.exp) = (c.iat + 120, c.exp + 120)),
        ),
        ("lives too long", spoil(&|c| c.exp += 3600)),
        (
            "another audience",
            spoil(&|c| c.aud = "elsewhere".to_owned()),
        ),
        ("another issuer", spoil(&|c| c.iss = "somebody".to_owned())),
    ] {
        let answer = send(delete(&client.clone().bearer(&token))).await;
        assert_eq!(answer.status, 401, "{what}");
        assert!(
            answer.headers["www-authenticate"]
                .to_str()
                .is_ok_and(|h| h.starts_with("Bearer")),
            "{what}"
        );
    }
    let basic = send(delete(&client).header("authorization", "Basic b3duZXI6b3duZXI=")).await;
    assert_eq!(basic.status, 401);
    let late = client.clone().bearer(&world.signed(&good));
    world.advance(66);
    assert_eq!(send(delete(&late)).await.status, 401, "a minute later");
    assert_eq!(world.content("shop").await, before);
}
