//! How far a caller reaches: scopes, roles and headers, in the list and in the call.

use std::collections::BTreeSet;

use contracts::token::{AgentClaims, PrincipalRole};
use contracts::tools::sheets;
use e2e::world::issuer::{Issuer, SigningKey};
use e2e::world::mcp::{MODERN, McpClient, OLDER, refused, send};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{add_item, content, header, key, list, names, shop_of};

#[tokio::test]
async fn a_tool_beyond_the_scopes_is_challenged_and_one_beyond_the_role_is_not() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let reader = key(&world, "reader", PrincipalRole::Owner, &["inventory:read"]).await;
    let narrow = {
        let mut claims = issuer.claims(&world, "ana@login");
        claims["scope"] = json!("openid billing:read profile");
        issuer.token(SigningKey::Ed25519, &claims)
    };
    let ben = issuer.token(SigningKey::Rsa, &issuer.claims(&world, "ben@login"));
    let before = content(&world).await;
    let call = async |token: &str, version, params: Value| {
        let client = world.mcp(version).bearer(token);
        client.request("tools/call", params).await
    };
    for version in [MODERN, OLDER] {
        for (token, scope) in [
            (&reader, "inventory:write"),
            (&narrow, "inventory:write billing:read"),
        ] {
            let reply = call(token, version, add_item()).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.body);
            let challenge = header(&reply, "www-authenticate");
            assert!(
                challenge.contains("error=\"insufficient_scope\""),
                "{challenge}"
            );
            assert!(
                challenge.contains(&format!("scope=\"{scope}\"")),
                "{challenge}"
            );
            assert!(challenge.contains("resource_metadata="), "{challenge}");
            let failure = refused(&reply.body["result"]);
            assert_eq!(failure["code"], "not_allowed");
        }
        // Ben may not do it with any token; the owner's part is not his by any scope.
        for params in [
            add_item(),
            json!({"name": "sales_summary", "arguments": {"period": "today"}}),
        ] {
            let reply = call(&ben, version, params).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
            assert_eq!(refused(&reply.result())["code"], "not_allowed");
        }
        // The agent knows nobody who could have more.
        let claims = AgentClaims {
            scopes: Some(vec!["inventory:read".to_owned()]),
            ..world.claims()
        };
        let reply = call(&world.signed(&claims), version, add_item()).await;
        assert_eq!(refused(&reply.result())["code"], "not_allowed");
    }
    assert_eq!(content(&world).await, before);
    let items = json!({"name": "inventory_list_items", "arguments": {}});
    assert_eq!(call(&reader, MODERN, items).await.status, StatusCode::OK);
}

/// Resources and prompts are challenged as tools are, by their kind: whether there is such a bill makes no difference.
#[tokio::test]
async fn what_is_read_beyond_the_scopes_is_challenged_like_a_tool() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let reader = key(&world, "reader", PrincipalRole::Owner, &["inventory:read"]).await;
    let customer = key(&world, "aline", PrincipalRole::Customer, &["all:read"]).await;
    let read = |uri: &'static str| ("resources/read", json!({"uri": uri}));
    let prompt = |name: &'static str| ("prompts/get", json!({"name": name}));
    for version in [MODERN, OLDER] {
        let client = world.mcp(version).bearer(&reader);
        for ((method, params), scope) in [
            (read("countersign://bills/INV-1"), "billing:read"),
            (read("countersign://bills/INV-999.pdf"), "billing:read"),
            (read("countersign://customers/Aline"), "profile:read"),
            (read("countersign://opening-hours"), "booking:read"),
            (prompt("daily_summary"), "billing:read"),
        ] {
            let reply = client.request(method, params).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.body);
            let challenge = header(&reply, "www-authenticate");
            assert!(
                challenge.contains("error=\"insufficient_scope\"") && challenge.contains(scope),
                "{challenge}"
            );
            assert!(reply.body["error"].is_object(), "{}", reply.body);
        }
        let unknown = client.request("resources/read", json!({"uri": "countersign://nothing"}));
        assert_eq!(unknown.await.status, StatusCode::OK);
        // No scope makes a customer one of the shop.
        let client = world.mcp(version).bearer(&customer);
        for (method, params) in [read("countersign://low-stock"), prompt("reorder_list")] {
            let reply = client.request(method, params).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
            assert!(reply.body["error"].is_object(), "{}", reply.body);
        }
    }
}

/// The list a client has, and what its calls say: each tool called with nothing at all is refused as not allowed, or it is in the list.
async fn list_is_what_call_allows(
    what: &str,
    client: &McpClient,
    headers: &[(&'static str, &str)],
) {
    let dress = |mut request: reqwest::RequestBuilder| {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    };
    let reply = send(dress(client.prepare("tools/list", json!({})))).await;
    let listed = names(&reply.result());
    for sheet in sheets() {
        let params = json!({"name": sheet.name, "arguments": {"no such argument": 1}});
        let reply = send(dress(client.prepare("tools/call", params))).await;
        let result = match reply.status {
            StatusCode::FORBIDDEN => reply.body["result"].clone(),
            _ => reply.result(),
        };
        let allowed = refused(&result)["code"] != "not_allowed";
        assert_eq!(
            allowed,
            listed.contains(sheet.name),
            "{what}: {}",
            sheet.name
        );
    }
}

#[tokio::test]
async fn the_list_is_exactly_what_may_be_called() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let reaches: [&[&str]; 6] = [
        &["all:commit", "admin"],
        &["all:read"],
        &["all:write"],
        &["billing:commit", "inventory:read"],
        &["payment:read", "booking:write", "support:commit"],
        &["admin"],
    ];
    let mut sizes = BTreeSet::new();
    for role in [
        PrincipalRole::Customer,
        PrincipalRole::Staff,
        PrincipalRole::Owner,
    ] {
        for scopes in reaches {
            let customer = (role == PrincipalRole::Customer).then(uuid::Uuid::nil);
            let claims = AgentClaims {
                sub: "somebody".to_owned(),
                role,
                customer,
                scopes: Some(scopes.iter().map(|s| (*s).to_owned()).collect()),
                ..world.claims()
            };
            let client = world.mcp(MODERN).bearer(&world.signed(&claims));
            let what = format!("{role:?} {scopes:?}");
            list_is_what_call_allows(&what, &client, &[]).await;
            sizes.insert(names(&list(&client).await.result()).len());
        }
    }
    assert!(
        sizes.contains(&0) && sizes.contains(&sheets().len()),
        "{sizes:?}"
    );
    // Keys and headers.
    let token = key(
        &world,
        "till",
        PrincipalRole::Staff,
        &["billing:commit", "booking:read"],
    )
    .await;
    let client = world.mcp(MODERN).bearer(&token);
    for headers in [
        vec![],
        vec![("x-mcp-toolsets", "billing")],
        vec![
            ("x-mcp-toolsets", "inventory, booking"),
            ("x-mcp-readonly", "true"),
        ],
    ] {
        list_is_what_call_allows(&format!("{headers:?}"), &client, &headers).await;
    }
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn headers_narrow_and_never_widen() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[("MCP_TOOLSETS", "inventory,billing")]).await;
    let token = key(
        &world,
        "till",
        PrincipalRole::Staff,
        &["inventory:write", "payment:read"],
    )
    .await;
    let client = world.mcp(MODERN).bearer(&token);
    let with = async |headers: &[(&'static str, &str)]| {
        let mut request = client.prepare("tools/list", json!({}));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request).await
    };
    let all = names(&with(&[]).await.result());
    assert!(all.contains("inventory_add_item"));
    assert!(
        !all.contains("check_balance"),
        "the server does not offer it"
    );
    assert!(
        !all.contains("billing_get_bill"),
        "the key does not reach it"
    );
    let same = names(
        &with(&[("x-mcp-toolsets", "all"), ("x-mcp-readonly", "false")])
            .await
            .result(),
    );
    assert_eq!(same, all);
    let reading = names(&with(&[("x-mcp-readonly", "true")]).await.result());
    assert!(reading.contains("inventory_list_items") && reading.is_subset(&all));
    assert!(!reading.contains("inventory_add_item"));
    let other = names(
        &with(&[("x-mcp-toolsets", "payment,billing,support")])
            .await
            .result(),
    );
    assert!(other.is_empty(), "{other:?}");
    let both = names(
        &with(&[
            ("x-mcp-toolsets", "inventory"),
            ("x-mcp-toolsets", "billing"),
        ])
        .await
        .result(),
    );
    assert!(both.is_empty(), "each header takes away");
    for (headers, says) in [
        (
            [("x-mcp-toolsets", "inventory,shop")],
            "`shop` is no toolset",
        ),
        ([("x-mcp-toolsets", "")], "is no toolset"),
        ([("x-mcp-readonly", "maybe")], "true or false"),
    ] {
        let reply = with(&headers).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert!(
            reply.body["error"]
                .as_str()
                .is_some_and(|e| e.contains(says)),
            "{}",
            reply.body
        );
    }
    // A call beyond the header is beyond what was asked for, not beyond the token: there is nothing to come back with.
    let call = client.prepare("tools/call", add_item());
    let reply = send(call.header("x-mcp-readonly", "1")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(refused(&reply.result())["code"], "not_allowed");
}
