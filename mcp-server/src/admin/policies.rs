//! When a tool asks before it does something, and who may answer: where a business differs from the tools' own.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use contracts::confirmation::Approver;
use contracts::ids::TenantId;
use contracts::tool::{Effect, ToolSheet};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use super::problem::Problem;
use super::{Given, Owner, record, seen};
use crate::app::App;
use crate::call;
use crate::error::CallError;
use crate::handler::Audit;

/// Tools that take something back: a person always sees what they do. The table refuses it, too.
const ALWAYS_ASKED: [&str; 4] = [
    "refund_payment",
    "billing_void_bill",
    "billing_credit_bill",
    "billing_write_off_bill",
];

/// When a tool asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ask {
    /// Whatever it comes to.
    Always,
    /// Above an amount.
    Above,
    /// Not at all.
    Never,
}

impl Ask {
    fn word(self) -> &'static str {
        match self {
            Ask::Always => "always",
            Ask::Above => "above",
            Ask::Never => "never",
        }
    }
}

/// The policy of one tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// The tool.
    pub(crate) tool: String,
    /// When it asks.
    pub(crate) ask: Ask,
    /// Above how much, minor units of the shop's currency.
    pub(crate) above_minor: Option<i64>,
    /// Who may answer.
    pub(crate) approver: Approver,
    /// Whether it is the tool's own, because the business has settled nothing.
    pub(crate) default: bool,
}

/// All policies.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Policies {
    pub(crate) policies: Vec<Policy>,
}

/// A policy that is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPolicy {
    ask: Ask,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    above_minor: Option<i64>,
    #[serde(default)]
    approver: Option<Approver>,
}

/// `GET /admin/v1/policies`: every tool that asks, by name.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
) -> Result<Json<Policies>, Problem> {
    let mut tx = app.begin_reading(owner.tenant).await?;
    let settled = select_all(&mut tx, owner.tenant).await?;
    let policies = call::sheets()
        .filter(|sheet| sheet.effect == Effect::Commit)
        .map(|sheet| {
            let own = settled.iter().find(|row| row.tool == sheet.name);
            own.map_or_else(|| default_of(sheet), Row::policy)
        });
    Ok(Json(Policies {
        policies: policies.collect(),
    }))
}

/// `GET /admin/v1/policies/{tool}`
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Path(tool): Path<String>,
) -> Result<Json<Policy>, Problem> {
    let sheet = asking(&tool)?;
    let mut tx = app.begin_reading(owner.tenant).await?;
    Ok(Json(current(&mut tx, owner.tenant, sheet).await?))
}

/// `PUT /admin/v1/policies/{tool}`
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Path(tool): Path<String>,
    Given(new): Given<NewPolicy>,
) -> Result<Json<Policy>, Problem> {
    let sheet = asking(&tool)?;
    let policy = checked(sheet, &new)?;
    let mut tx = app.begin(owner.tenant).await?;
    let before = current(&mut tx, owner.tenant, sheet).await?;
    if before == policy {
        return Ok(Json(policy));
    }
    upsert(&mut tx, owner.tenant, &policy).await?;
    let audit = Audit {
        subject: format!("policy:{}", sheet.name),
        before: seen(&before),
        after: seen(&policy),
    };
    let given = json!({"tool": sheet.name, "policy": new});
    record(&mut tx, &app, &owner, "admin.policies.set", &given, &audit).await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    Ok(Json(policy))
}

/// `DELETE /admin/v1/policies/{tool}`: back to the tool's own.
pub(crate) async fn clear(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Path(tool): Path<String>,
) -> Result<StatusCode, Problem> {
    let sheet = asking(&tool)?;
    let mut tx = app.begin(owner.tenant).await?;
    let before = current(&mut tx, owner.tenant, sheet).await?;
    if before.default {
        return Ok(StatusCode::NO_CONTENT);
    }
    delete(&mut tx, owner.tenant, sheet.name).await?;
    let audit = Audit {
        subject: format!("policy:{}", sheet.name),
        before: seen(&before),
        after: None,
    };
    let given = json!({"tool": sheet.name});
    record(
        &mut tx,
        &app,
        &owner,
        "admin.policies.clear",
        &given,
        &audit,
    )
    .await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The sheet of a tool that asks.
fn asking(tool: &str) -> Result<&'static ToolSheet, Problem> {
    let found = call::sheets().find(|sheet| sheet.name == tool && sheet.effect == Effect::Commit);
    found.ok_or_else(|| {
        let detail = format!("There is no tool `{tool}` that asks before it acts. `GET /admin/v1/policies` lists those there are.");
        Problem::missing(detail)
    })
}

fn default_of(sheet: &ToolSheet) -> Policy {
    Policy {
        tool: sheet.name.to_owned(),
        ask: Ask::Always,
        above_minor: None,
        approver: sheet.approver,
        default: true,
    }
}

/// A policy that can be.
fn checked(sheet: &ToolSheet, new: &NewPolicy) -> Result<Policy, Problem> {
    match (new.ask, new.above_minor) {
        (Ask::Never, _) if ALWAYS_ASKED.contains(&sheet.name) => {
            let detail = format!(
                "`{}` takes something back, so a person is always asked. Choose `always`, or `above` an amount.",
                sheet.name
            );
            Err(Problem::value("ask", detail))
        }
        (Ask::Above, None) => Err(Problem::value(
            "above_minor",
            "Say above which amount it asks, in minor units of the shop's currency.",
        )),
        (Ask::Above, Some(amount)) if amount < 0 => Err(Problem::value(
            "above_minor",
            "An amount is not below zero.",
        )),
        (Ask::Always | Ask::Never, Some(_)) => Err(Problem::value(
            "above_minor",
            "An amount goes with `above` only.",
        )),
        (Ask::Always | Ask::Above | Ask::Never, _) => Ok(Policy {
            tool: sheet.name.to_owned(),
            ask: new.ask,
            above_minor: new.above_minor,
            approver: new.approver.unwrap_or(sheet.approver),
            default: false,
        }),
    }
}

async fn current(
    conn: &mut PgConnection,
    tenant: TenantId,
    sheet: &ToolSheet,
) -> Result<Policy, Problem> {
    let found = select_one(conn, tenant, sheet.name).await?;
    Ok(found.map_or_else(|| default_of(sheet), |row| row.policy()))
}

struct Row {
    tool: String,
    ask: String,
    above_minor: Option<i64>,
    approver: String,
}

impl Row {
    /// The table admits only known words; what it should hold otherwise asks always, and the owner.
    fn policy(&self) -> Policy {
        let words = [Ask::Always, Ask::Above, Ask::Never];
        Policy {
            tool: self.tool.clone(),
            ask: words
                .into_iter()
                .find(|a| a.word() == self.ask)
                .unwrap_or(Ask::Always),
            above_minor: self.above_minor,
            approver: Approver::from_word(&self.approver).unwrap_or(Approver::Owner),
            default: false,
        }
    }
}

async fn select_all(conn: &mut PgConnection, tenant: TenantId) -> Result<Vec<Row>, sqlx::Error> {
    // As many as there are tools, at most.
    sqlx::query_as!(
        Row,
        "select tool, ask, above_minor, approver from shop.policies where tenant_id = $1 order by tool",
        tenant.0
    )
    .fetch_all(conn)
    .await
}

async fn select_one(
    conn: &mut PgConnection,
    tenant: TenantId,
    tool: &str,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select tool, ask, above_minor, approver from shop.policies where tenant_id = $1 and tool = $2",
        tenant.0,
        tool
    )
    .fetch_optional(conn)
    .await
}

async fn upsert(
    conn: &mut PgConnection,
    tenant: TenantId,
    policy: &Policy,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.policies (tenant_id, tool, ask, above_minor, approver) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, tool) do update set ask = excluded.ask, above_minor = excluded.above_minor, approver = excluded.approver",
        tenant.0,
        policy.tool,
        policy.ask.word(),
        policy.above_minor,
        policy.approver.word()
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete(conn: &mut PgConnection, tenant: TenantId, tool: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from shop.policies where tenant_id = $1 and tool = $2",
        tenant.0,
        tool
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(tool: &str, json: serde_json::Value) -> Result<Policy, Option<String>> {
        let sheet = asking(tool).map_err(|p| p.field)?;
        checked(sheet, &serde_json::from_value(json).unwrap()).map_err(|p| p.field)
    }

    #[test]
    fn what_takes_something_back_is_always_asked_about() {
        for tool in ALWAYS_ASKED {
            assert_eq!(
                judged(tool, json!({"ask": "never"})),
                Err(Some("ask".to_owned())),
                "{tool}"
            );
            assert!(
                judged(
                    tool,
                    json!({"ask": "above", "above_minor": 500, "approver": "staff"})
                )
                .is_ok()
            );
        }
        let bill = judged("billing_create_bill", json!({"ask": "never"})).unwrap();
        assert_eq!((bill.ask, bill.default), (Ask::Never, false));
    }

    #[test]
    fn an_amount_goes_with_above_and_only_asking_tools_have_policies() {
        let above = Err(Some("above_minor".to_owned()));
        for json in [
            json!({"ask": "above"}),
            json!({"ask": "above", "above_minor": -1}),
            json!({"ask": "always", "above_minor": 5}),
            json!({"ask": "never", "above_minor": 5}),
        ] {
            assert_eq!(judged("billing_create_bill", json.clone()), above, "{json}");
        }
        for tool in ["billing_get_bill", "inventory_add_item", "refund", ""] {
            assert!(judged(tool, json!({"ask": "always"})).is_err(), "{tool}");
        }
        let refund = judged("refund_payment", json!({"ask": "always"})).unwrap();
        assert_eq!(refund.approver, asking("refund_payment").unwrap().approver);
    }
}
