//! Who is let in, for how long, and what a guesser learns: nothing.

use std::time::{Duration, Instant};

use contracts::identity::{END_SESSION_PATH, INTROSPECT_PATH, SESSIONS_PATH};
use e2e::world::until;
use reqwest::Method;
use serde_json::{Value, json};

use super::{OPERATOR_KEY, Stage, answer, browsing, form, page, server};

/// A page that everybody of the shop may see.
const BILL: &str = "/bills/INV-1";

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn a_session_is_kept_where_no_other_site_reaches_it() {
    let stage = Stage::open().await;
    let password = stage.person("ana", "staff").await;
    let entered = stage
        .enter("Demo ", " ANA", &password, "https://evil.example/")
        .await;
    assert_eq!(
        (entered.status, entered.location.as_str()),
        (303, "/login"),
        "only pages of ours are gone to"
    );
    let (cookie, flags) = entered.cookie.split_once("; ").expect("a cookie");
    assert!(cookie.starts_with("countersign_session=css_"), "{cookie}");
    assert_eq!(flags, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    let secure = server(&stage.world, &[("MCP_PUBLIC_URL", "https://shop.example")]).await;
    let body = form(&[("shop", "demo"), ("name", "ana"), ("password", &password)]);
    let at = |origin: &str| {
        let request = stage
            .world
            .http
            .post(format!("http://{}/login", secure.address));
        browsing(request)
            .header("host", "shop.example")
            .header("origin", origin.to_owned())
    };
    let over_tls = page(at("https://shop.example").body(body.clone())).await;
    assert!(over_tls.cookie.ends_with("; Secure"), "{}", over_tls.cookie);

    // Another site, another program's page on this machine, a browser that says nothing: nobody is logged in for them.
    let strict = stage.strict_url();
    let login = || browsing(stage.world.http.post(format!("{strict}/login"))).body(body.clone());
    for foreign in [
        page(at("https://evil.example").body(body.clone())).await,
        page(login().header("origin", "https://evil.example")).await,
        page(login().header("origin", "http://127.0.0.1:1")).await,
        page(login().header("origin", "null")).await,
        page(
            login()
                .header("origin", &strict)
                .header("sec-fetch-site", "cross-site"),
        )
        .await,
        page(login()).await,
    ] {
        assert_eq!(
            (foreign.status, foreign.cookie.as_str()),
            (403, ""),
            "{}",
            foreign.text
        );
    }

    // The cookie opens pages; it counts for no tool, and answers nothing that does not come from our page.
    assert_eq!(
        stage.browse(BILL, cookie).await.status,
        404,
        "there is no bill yet, but somebody asks"
    );
    let post = |path: &str| {
        stage
            .world
            .http
            .post(format!("{strict}{path}"))
            .header("cookie", cookie)
    };
    let (mcp, _) = answer(
        post("/mcp"),
        json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    )
    .await;
    assert_eq!(mcp, 401);
    let pressed = page(
        browsing(post("/approvals/00000000-0000-7000-8000-000000000001")).body("decision=approve"),
    )
    .await;
    assert_eq!(pressed.status, 403, "without an origin");
    let (admin, _) = answer(post("/admin/v1/keys"), json!({})).await;
    assert_eq!(admin, 403, "without an origin");

    // A link from elsewhere comes without the cookie, so the page asks for itself once more, and only then for a log-in.
    let link = browsing(stage.world.http.get(format!("{strict}{BILL}")))
        .header("sec-fetch-mode", "navigate");
    let onward = page(link.header("sec-fetch-site", "cross-site")).await;
    assert_eq!(onward.status, 200);
    assert!(
        onward.text.contains("http-equiv=\"refresh\"") && onward.text.contains(BILL),
        "{}",
        onward.text
    );
    assert_eq!(
        stage.browse(BILL, "").await.location,
        format!("/login?next={BILL}")
    );
    let program = stage
        .world
        .http
        .get(format!("{strict}{BILL}"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(program.status(), 401, "a program is told what it lacks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_it_has_to() {
    let stage = Stage::open().await;
    let password = stage.person("ana", "staff").await;
    let let_in = async |cookie: &str| stage.browse(BILL, cookie).await.status == 404;
    let goes = async |cookie: &str, why: &str| {
        until(why, async || stage.browse(BILL, cookie).await.status == 303).await;
    };
    let change = async |body: Value| {
        let (status, done) = stage.owner(Method::PATCH, "people/ana", body).await;
        assert_eq!(status, 200, "{done}");
        done
    };
    let first = stage.session("ana", &password).await;
    assert!(let_in(&first).await);
    assert!(
        stage
            .browse("/logout", &first)
            .await
            .text
            .contains("Logged in as ANA")
    );
    let strict = stage.strict_url();
    let leave =
        browsing(stage.world.http.post(format!("{strict}/logout"))).header("cookie", &first);
    let left = page(leave.header("origin", &strict)).await;
    assert!(
        left.cookie
            .starts_with("countersign_session=; Path=/; Max-Age=0"),
        "{}",
        left.cookie
    );
    assert!(!let_in(&first).await, "at once where it was ended");

    let second = stage.session("ana", &password).await;
    let new = change(json!({"generate_password": true})).await["password"]
        .as_str()
        .expect("a password")
        .to_owned();
    goes(&second, "a new password ends sessions").await;
    assert_eq!(stage.enter("demo", "ana", &password, "").await.status, 403);
    let third = stage.session("ana", &new).await;
    change(json!({"disabled": true})).await;
    goes(&third, "a disabled person's sessions end").await;
    assert_eq!(stage.enter("demo", "ana", &new, "").await.status, 403);
    change(json!({"disabled": false})).await;
    assert!(!let_in(&third).await, "what has ended has ended");
    let fourth = stage.session("ana", &new).await;
    assert!(let_in(&fourth).await);
    stage.world.advance(12 * 3600 + 1);
    assert!(!let_in(&fourth).await, "after twelve hours");
    stage.world.advance(8 * 24 * 3600);
    mcp_server::sweeper::sweep(&stage.strict.app)
        .await
        .expect("swept");
    assert_eq!(
        stage
            .world
            .number("select count(*) from shop.sessions")
            .await,
        0
    );
    stage.all_holds().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn a_guesser_learns_nothing_and_is_locked_out() {
    let stage = Stage::open().await;
    let password = stage.person("ana", "staff").await;
    stage.person("eva", "staff").await;
    let (status, _) = stage
        .owner(Method::PATCH, "people/eva", json!({"disabled": true}))
        .await;
    assert_eq!(status, 200);
    let guess = async |shop: &str, name: &str, password: &str| {
        let begun = Instant::now();
        let told = stage.enter(shop, name, password, "").await;
        let text = told
            .text
            .replace(&format!("\"{shop}\""), "SHOP")
            .replace(&format!("\"{name}\""), "NAME");
        (begun.elapsed(), (told.status, told.cookie, text))
    };
    let (_, wrong) = guess("demo", "ana", "not the password").await;
    assert_eq!(wrong.0, 403);
    let mut slowest_of_nobody = Duration::ZERO;
    for (shop, name) in [
        ("demo", "nobody"),
        ("no-shop", "ana"),
        ("demo", "eva"),
        ("demo", "a\u{7}b"),
        ("DEMO", &"x".repeat(90)),
    ] {
        let (took, told) = guess(shop, name, "not the password").await;
        assert_eq!(told, wrong, "{shop} {name}");
        slowest_of_nobody = slowest_of_nobody.max(took);
    }
    // The agent's door tells as little.
    let at_the_door = async |login: Value, token: &str| {
        let request = stage
            .world
            .http
            .post(format!("{}{SESSIONS_PATH}", stage.strict_url()));
        answer(request.bearer_auth(token), login).await
    };
    let service = stage.service_token();
    let login =
        |name: &str, password: &str| json!({"shop": "demo", "name": name, "password": password});
    let told = at_the_door(login("ana", "wrong"), &service).await;
    assert_eq!(told, at_the_door(login("nobody", "wrong"), &service).await);
    assert_eq!(told.0, 401);
    let stranger = at_the_door(login("ana", &password), OPERATOR_KEY).await;
    assert_eq!(stranger.0, 401, "only the agent opens sessions there");

    // Two wrong ones are counted; eight more, wherever, at once, and nobody gets in, not even with the right one.
    let other = server(&stage.world, &[]).await;
    let urls = [stage.strict_url(), format!("http://{}", other.address)];
    let body = form(&[
        ("shop", "demo"),
        ("name", "ana"),
        ("password", "wrong again"),
    ]);
    let tries = (0..8).map(|i| {
        let url = &urls[i % 2];
        let request = browsing(stage.world.http.post(format!("{url}/login")));
        page(request.header("origin", url).body(body.clone()))
    });
    assert!(
        futures::future::join_all(tries)
            .await
            .iter()
            .all(|told| told.status == 403)
    );
    let locked = "select count(*) from shop.people where subject = 'ana' and locked_until is not null and failed_logins = 0";
    assert_eq!(stage.world.number(locked).await, 1);
    let (_, refused) = guess("demo", "ana", &password).await;
    assert_eq!(
        refused, wrong,
        "the right one says no more than a wrong one"
    );
    stage.world.advance(15 * 60 + 1);
    let cookie = stage.session("ana", &password).await;
    assert_eq!(
        stage
            .world
            .number("select failed_logins::bigint from shop.people where subject = 'ana'")
            .await,
        0
    );
    // The agent asks whose it is, and ends it.
    let token = cookie.split_once('=').expect("a cookie").1;
    let service = stage.service_token();
    let ask = async |path: &str| {
        let request = stage
            .world
            .http
            .post(format!("{}{path}", stage.strict_url()));
        answer(request.bearer_auth(&service), json!({"token": token})).await
    };
    let (_, who) = ask(INTROSPECT_PATH).await;
    assert_eq!(
        (&who["active"], &who["sub"], &who["role"]),
        (&json!(true), &json!("ana"), &json!("staff"))
    );
    assert_eq!(ask(END_SESSION_PATH).await.0, 204);
    assert_eq!(ask(INTROSPECT_PATH).await.1, json!({"active": false}));
    assert!(
        slowest_of_nobody > Duration::from_millis(5),
        "a hash was computed for nobody: {slowest_of_nobody:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_hash_is_renewed_at_the_next_log_in() {
    let stage = Stage::open().await;
    stage.person("ana", "staff").await;
    // "correct horse battery", with an eighth of the memory and one pass.
    sqlx::query("update shop.people set password_hash = $1")
        .bind(OLD_HASH)
        .execute(&stage.world.db)
        .await
        .expect("an old hash");
    stage.session("ana", "correct horse battery").await;
    let current = "select count(*) from shop.people where password_hash like '$argon2id$v=19$m=19456,t=2,p=1$%'";
    assert_eq!(stage.world.number(current).await, 1);
    stage.session("ana", "correct horse battery").await;
}

const OLD_HASH: &str = "$argon2id$v=19$m=2432,t=1,p=1$YSBzYWx0IG9mIHNpeHRlZW4$jt2tXt4JJagxXeLp3YnysVPGjStbvT90ISMj74sYGBs";
