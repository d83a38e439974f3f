//! The same on the command line.

use e2e::world::mcp::{McpClient, done};
use e2e::world::{PATIENCE, until};
use migrations::database::Role;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::{SALE, Stage, sale};

/// What a command said.
#[derive(Debug)]
struct Said {
    done: bool,
    out: String,
    err: String,
}

impl Said {
    /// The value behind a label.
    fn value(&self, label: &str) -> String {
        let line = self.out.lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label}: {self:?}"))
            .trim()
            .to_owned()
    }
}

impl Stage {
    /// Runs `mcp-server` with words as a shell splits them.
    async fn cli(&self, words: &str) -> Said {
        self.cli_with(words, "").await
    }

    async fn cli_with(&self, words: &str, input: &str) -> Said {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_e2e-mcp-cli"))
            .args(words.split(' ').filter(|word| !word.is_empty()))
            .env_clear()
            .envs(self.world.variables(Role::Shop))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("run");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(input.as_bytes()).await.expect("written");
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        let output = output.expect("in time").expect("run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said {
            done: output.status.success(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    async fn done(&self, words: &str) -> Said {
        let said = self.cli(words).await;
        assert!(said.done, "{words}: {said:?}");
        said
    }

    async fn refused(&self, words: &str, because: &str) {
        let said = self.cli(words).await;
        assert!(
            !said.done && said.err.contains(because),
            "{words}: {said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn an_installation_is_run_from_a_terminal() {
    let stage = Stage::open().await;
    let made = stage.done("tenants create market Market --currency KES --time-zone Africa/Nairobi --owner wanjiru").await;
    let password = made.value("password");
    assert_eq!(
        stage.enter("market", "wanjiru", &password, "").await.status,
        303
    );
    stage
        .refused(
            "tenants create market Market --currency KES",
            "Another business has this handle",
        )
        .await;
    let listed = stage.done("tenants list").await.out;
    assert!(
        listed.contains("demo") && listed.contains("market") && !listed.contains(&password),
        "{listed}"
    );
    stage
        .refused("people list --tenant nowhere", "tenants list")
        .await;

    // People, of the local shop and of the other.
    let added = stage.done("people add ana Ana").await;
    assert!(
        stage
            .enter("demo", "ana", &added.value("password"), "")
            .await
            .status
            == 303
    );
    let chosen = stage
        .cli_with(
            "people add rosa Rosa --role owner --tenant market --stdin",
            "four words in a row\n",
        )
        .await;
    assert!(
        chosen.done && !chosen.out.contains("password"),
        "{chosen:?}"
    );
    assert_eq!(
        stage
            .enter("market", "rosa", "four words in a row", "")
            .await
            .status,
        303
    );
    let listed = stage.done("people list --tenant market").await.out;
    assert!(
        listed.contains("rosa") && listed.contains("wanjiru") && !listed.contains("ana  "),
        "{listed}"
    );
    stage.done("people disable wanjiru --tenant market").await;
    stage
        .refused("people disable rosa --tenant market", "last owner")
        .await;
    stage
        .refused(
            "people change rosa --role staff --tenant market",
            "last owner",
        )
        .await;
    let renewed = stage
        .done("people password rosa --tenant market")
        .await
        .value("password");
    assert_eq!(
        stage
            .enter("market", "rosa", "four words in a row", "")
            .await
            .status,
        403
    );
    assert_eq!(
        stage.enter("market", "rosa", &renewed, "").await.status,
        303
    );
    stage
        .done("people link rosa https://id.example 248289761001 --tenant market")
        .await;

    // Settings and policies.
    let settings = stage
        .done("settings set locale=es phone= confirmation_ttl_seconds=60 --tenant market")
        .await
        .out;
    assert!(
        settings.contains("locale=es") && settings.contains("confirmation_ttl_seconds=60"),
        "{settings}"
    );
    stage
        .refused("settings set locale=fr --tenant market", "`en` and `es`")
        .await;
    stage
        .refused("settings set currency=KES", "its currency stays")
        .await;
    stage
        .done("settings set currency=UGX --tenant market")
        .await;
    stage
        .refused(
            "policies set refund_payment --ask never",
            "a person is always asked",
        )
        .await;
    stage
        .refused("policies set inventory_list_items", "policies")
        .await;
    let policy = stage
        .done(&format!(
            "policies set {SALE} --ask above --above-minor 200 --approver owner"
        ))
        .await
        .out;
    assert!(
        policy.contains("asks above 200") && policy.contains("owner"),
        "{policy}"
    );
    assert!(stage.done("policies show").await.out.contains(&policy));
    assert!(
        stage
            .done(&format!("policies clear {SALE}"))
            .await
            .out
            .contains("the tool's own")
    );
    stage.done("tenants suspend market").await;
    until("nobody is let in", async || {
        stage.enter("market", "rosa", &renewed, "").await.status == 403
    })
    .await;
    stage.done("tenants resume market").await;
    assert_eq!(
        stage.enter("market", "rosa", &renewed, "").await.status,
        303
    );
    stage.all_holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_the_terminal_works_until_it_is_revoked() {
    let stage = Stage::open().await;
    let made = stage
        .done("keys create till --scopes billing:commit,all:read --expires-in-days 30")
        .await;
    let key = made.value("key");
    assert!(key.starts_with("csk_"), "{made:?}");
    let client = McpClient::at(&stage.strict.mcp_url()).bearer(&key);
    let question = client.call(SALE, &sale()).await;
    assert_eq!(
        question["_meta"]["countersign/confirmation"]["requested_by"],
        "key:till"
    );
    let listed = stage.done("keys list").await.out;
    assert!(
        listed.contains("till") && listed.contains("last used") && !listed.contains(&key),
        "{listed}"
    );
    stage
        .refused("keys create till", "Choose another name")
        .await;
    stage
        .refused("keys create other --scopes shop:read", "is no scope")
        .await;
    stage.done("keys revoke till").await;
    let begun = std::time::Instant::now();
    let params = || json!({"name": "inventory_list_items", "arguments": {}});
    until("the key is refused", async || {
        client.request("tools/call", params()).await.status == 401
    })
    .await;
    assert!(
        begun.elapsed().as_secs() <= 6,
        "within five seconds: {:?}",
        begun.elapsed()
    );
    assert!(stage.done("keys list").await.out.contains("revoked at"));
    stage
        .refused("keys revoke nothing", "There is no key")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_exported_whole_a_page_at_a_time() {
    let stage = Stage::open().await;
    // More than two pages, some of them at the same moment.
    sqlx::query(
        "insert into shop.audit_log (tenant_id, id, at, tool, requested_by, decided_by, decided_via, arguments, subject, after)
         select t.id, gen_random_uuid(), timestamptz '2026-03-01 12:00:00Z' + (n / 7) * interval '1 minute', 'inventory_update_item', 'ana',
                case when n % 100 = 0 then 'olga' end, case when n % 100 = 0 then 'page' end,
                jsonb_build_object('n', n, 'note', 'say \"hi\", twice'), 'item:' || n, '{}'
         from shop.tenants t, generate_series(1, 950) n",
    )
    .execute(&stage.world.db)
    .await
    .expect("a long log");
    let all = stage
        .world
        .number("select count(*) from shop.audit_log")
        .await;
    let exported = stage.done("audit --json").await.out;
    let entries: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(i64::try_from(entries.len()).expect("a count"), all);
    let ids: std::collections::BTreeSet<&str> =
        entries.iter().filter_map(|e| e["id"].as_str()).collect();
    assert_eq!(ids.len(), entries.len(), "each once");
    let times: Vec<&str> = entries.iter().filter_map(|e| e["at"].as_str()).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "newest first");
    let csv = stage
        .done("audit --csv --tool inventory_update_item --who olga")
        .await
        .out;
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + 9, "{csv}");
    assert!(lines[0].starts_with("at,tool,requested_by,decided_by"));
    assert!(
        lines[1].contains(",ana,olga,page,item:900,") && lines[1].contains("\"\"n\"\":900"),
        "{}",
        lines[1]
    );
    // Days are the shop's: noon in Greenwich is the afternoon in Kigali.
    let day = stage
        .done("audit --from 2026-03-01 --to 2026-03-01 --tool inventory_update_item")
        .await
        .out;
    assert_eq!(day.lines().count(), 950);
    assert!(
        day.lines().last().is_some_and(
            |line| line.starts_with("2026-03-01 14:00:00  inventory_update_item  by ana")
        ),
        "{day:.200}"
    );
    assert_eq!(stage.done("audit --to 2026-02-28").await.out, "");
    let none = stage
        .done("audit --from 2026-03-01T12:00:00Z --to 2026-03-01T12:00:00Z")
        .await
        .out;
    assert_eq!(none, "");
    stage.refused("audit --from yesterday", "2026-11-20").await;
    let sold = McpClient::at(&stage.world.shop.mcp_url());
    done(&sold.call("inventory_list_items", &json!({})).await);
    assert_eq!(
        stage
            .world
            .number("select count(*) from shop.audit_log")
            .await,
        all,
        "reading leaves no trace"
    );
}
