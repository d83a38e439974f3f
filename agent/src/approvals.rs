//! Pending actions waiting for a person: stored before they are shown, answered once.

use chrono::{DateTime, Utc};
use contracts::confirmation::{Approver, Question};
use contracts::http::approval::{ApprovalStatus, Decision, ListedApproval};
use contracts::http::chat::ConfirmationView;
use contracts::http::run::ApprovalView;
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::token::{PrincipalRole, TokenPerson};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::metrics;
use crate::models::ToolCall;
use crate::principal::Principal;
use crate::tools::AnswerToPass;

/// A pending action and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its id.
    pub id: Uuid,
    /// The run that waits for it.
    pub run_id: Uuid,
    /// That run's session.
    pub session: Uuid,
    /// The call it is about.
    pub call: ToolCall,
    /// The question.
    pub question: Question,
    /// Who asks it.
    pub asked_by: AskedBy,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// Who answered.
    pub decided: Option<Decided>,
}

/// Who asks a question, and so who makes sure that nothing happens without its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedBy {
    /// Our tool server: the answer is passed on with this token of its, and counts there.
    Server {
        /// Passed back unchanged.
        request_state: String,
    },
    /// The agent, because the server that would do it is not ours: the call is made only after a yes, and once.
    Agent,
}

impl AskedBy {
    const fn word(&self) -> &'static str {
        match self {
            AskedBy::Server { .. } => "server",
            AskedBy::Agent => "agent",
        }
    }

    fn request_state(&self) -> Option<&str> {
        match self {
            AskedBy::Server { request_state } => Some(request_state),
            AskedBy::Agent => None,
        }
    }
}

/// A person's answer, as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Who.
    pub sub: String,
    /// As what. Not known of an answer that was given elsewhere, which is passed on to nobody.
    pub role: Option<PrincipalRole>,
    /// How: `chat`, `rest`, `page`, `cli`.
    pub via: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, if the person said.
    pub reason: Option<String>,
}

impl Approval {
    /// What the person is shown.
    #[must_use]
    pub fn view(&self) -> ConfirmationView {
        view(self.id, &self.question)
    }

    /// What was answered, if anything was.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        match self.status {
            ApprovalStatus::Denied => Some(Decision::Deny),
            ApprovalStatus::Approved
            | ApprovalStatus::Dispatched
            | ApprovalStatus::Done
            | ApprovalStatus::Failed
            | ApprovalStatus::Unknown => Some(Decision::Approve),
            // A price that changed after the yes replaces the question; the yes was given all the same.
            ApprovalStatus::Superseded => self.decided.as_ref().map(|_| Decision::Approve),
            ApprovalStatus::Pending | ApprovalStatus::Expired => None,
        }
    }

    /// The answer as the server is told, if it was the server that asked.
    #[must_use]
    pub fn answer_to_pass(&self) -> Option<AnswerToPass> {
        let decided = self.decided.as_ref()?;
        let yes = self.decision()? == Decision::Approve;
        Some(AnswerToPass {
            request_state: self.asked_by.request_state()?.to_owned(),
            yes,
            by: TokenPerson {
                sub: decided.sub.clone(),
                role: decided.role?,
            },
        })
    }
}

/// What the person is shown of a question.
#[must_use]
pub fn view(id: Uuid, question: &Question) -> ConfirmationView {
    ConfirmationView {
        approval_id: id,
        tool: question.tool.clone(),
        message: question.message.clone(),
        preview: json!({
            "lines": question.lines, "total": question.total, "binding": question.binding, "informative": question.informative,
        }),
        approver: question.approver,
        expires_at: question.expires_at,
    }
}

struct Row {
    id: Uuid,
    run_id: Uuid,
    session_id: Uuid,
    call_id: String,
    tool: String,
    arguments: Value,
    confirmation: Value,
    /// None where the agent asked: the table holds the two to it.
    request_state: Option<String>,
    status: String,
    decided_by: Option<String>,
    decided_role: Option<String>,
    decided_via: Option<String>,
    decided_at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

fn approval(row: Row) -> Result<Approval, sqlx::Error> {
    let broken = |what: String| sqlx::Error::Decode(what.into());
    let role = row
        .decided_role
        .map(|r| serde_json::from_value(Value::from(r)));
    let role: Option<PrincipalRole> = role.transpose().map_err(|e| broken(e.to_string()))?;
    let decided = row.decided_by.zip(row.decided_at).map(|(sub, at)| Decided {
        sub,
        role,
        via: row.decided_via.unwrap_or_default(),
        at,
        reason: row.reason,
    });
    Ok(Approval {
        id: row.id,
        run_id: row.run_id,
        session: row.session_id,
        call: ToolCall {
            id: row.call_id,
            tool: row.tool,
            arguments: row.arguments,
        },
        question: serde_json::from_value(row.confirmation).map_err(|e| broken(e.to_string()))?,
        asked_by: row
            .request_state
            .map_or(AskedBy::Agent, |request_state| AskedBy::Server {
                request_state,
            }),
        status: ApprovalStatus::from_word(&row.status).ok_or_else(|| broken(row.status))?,
        decided,
    })
}

/// Stores a pending action. The caller shows it only after its commit.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: &Approval,
    key: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let question =
        serde_json::to_value(&approval.question).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query!(
        "insert into agent.approvals
            (tenant_id, id, run_id, session_id, call_id, tool, arguments, idempotency_key, confirmation, request_state, asked_by,
             approver, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        tenant.0,
        approval.id,
        approval.run_id,
        approval.session,
        approval.call.id,
        approval.call.tool,
        approval.call.arguments,
        key,
        question,
        approval.asked_by.request_state(),
        approval.asked_by.word(),
        approval.question.approver.word(),
        now,
        approval.question.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One action.
pub(crate) async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Approval>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, run_id, session_id, call_id, tool, arguments, confirmation, request_state, status, decided_by, decided_role,
                decided_via, decided_at, reason
         from agent.approvals where tenant_id = $1 and id = $2",
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await?;
    row.map(approval).transpose()
}

/// The questions that are open in a session, oldest first.
pub(crate) async fn pending(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: Uuid,
) -> Result<Vec<Approval>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, run_id, session_id, call_id, tool, arguments, confirmation, request_state, status, decided_by, decided_role,
                decided_via, decided_at, reason
         from agent.approvals where tenant_id = $1 and session_id = $2 and status = 'pending' order by created_at, id",
        tenant.0,
        session
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(approval).collect()
}

/// The questions of a business that can be answered now, oldest first.
pub(crate) async fn open(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<Approval>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, run_id, session_id, call_id, tool, arguments, confirmation, request_state, status, decided_by, decided_role,
                decided_via, decided_at, reason
         from agent.approvals where tenant_id = $1 and status = 'pending' and expires_at > $2 order by created_at, id limit $3",
        tenant.0,
        now,
        most
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(approval).collect()
}

/// The questions of one run, oldest first.
pub(crate) async fn of_run(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Vec<Approval>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, run_id, session_id, call_id, tool, arguments, confirmation, request_state, status, decided_by, decided_role,
                decided_via, decided_at, reason
         from agent.approvals where tenant_id = $1 and run_id = $2 order by created_at, id",
        tenant.0,
        run_id
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(approval).collect()
}

/// Which approvals a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Those that stand so.
    pub status: Option<ApprovalStatus>,
    /// Those asked before this one.
    pub before: Option<Uuid>,
}

/// The newest approvals the principal may see: a customer those of her own conversations, staff and the owner all.
///
/// # Errors
/// When the database fails.
pub async fn list(
    app: &App,
    principal: &Principal,
    wanted: Wanted,
    most: u32,
) -> Result<Vec<ListedApproval>, sqlx::Error> {
    let mut tx = app.begin(principal.tenant).await?;
    select_listed(&mut tx, principal, wanted, most, app.clock.now()).await
}

/// Records the one answer. `false` when somebody else was first or the question has lapsed.
pub(crate) async fn decide(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    status: ApprovalStatus,
    decided: &Decided,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update agent.approvals
         set status = $3, decided_by = $4, decided_role = $5, decided_via = $6, decided_at = $7, reason = $8
         where tenant_id = $1 and id = $2 and status = 'pending' and expires_at > $7",
        tenant.0,
        id,
        status.word(),
        decided.sub,
        decided.role.map(PrincipalRole::word),
        decided.via,
        decided.at,
        decided.reason,
    )
    .execute(conn)
    .await?;
    let first = done.rows_affected() == 1;
    if first {
        metrics::question_stands(status);
    }
    Ok(first)
}

/// Records what came of an action elsewhere.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    status: ApprovalStatus,
    decided: Option<&Decided>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update agent.approvals set status = $3, decided_by = $4, decided_via = $5, decided_at = $6
         where tenant_id = $1 and id = $2 and status = 'pending'",
        tenant.0,
        id,
        status.word(),
        decided.map(|d| d.sub.as_str()),
        decided.map(|d| d.via.as_str()),
        decided.map(|d| d.at),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves actions on.
pub(crate) async fn set_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    status: ApprovalStatus,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update agent.approvals set status = $3 where tenant_id = $1 and id = $2",
        tenant.0,
        id,
        status.word()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What the approver was answered, to be answered the same again.
pub(crate) async fn stored_response(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Value>, sqlx::Error> {
    sqlx::query_scalar!(
        "select response from agent.approvals where tenant_id = $1 and id = $2",
        tenant.0,
        id
    )
    .fetch_one(conn)
    .await
}

/// Keeps the first answer to the approver; whoever comes second gets that one.
pub(crate) async fn store_response(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    response: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update agent.approvals set response = $3 where tenant_id = $1 and id = $2 and response is null",
        tenant.0,
        id,
        response
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// As it is listed in a trace.
#[must_use]
pub(crate) fn traced(approval: &Approval) -> ApprovalView {
    ApprovalView {
        approval_id: approval.id,
        call_id: approval.call.id.clone(),
        tool: approval.call.tool.clone(),
        message: approval.question.message.clone(),
        status: approval.status,
        decided_by: approval.decided.as_ref().map(|d| d.sub.clone()),
        decided_via: approval.decided.as_ref().map(|d| d.via.clone()),
        expires_at: approval.question.expires_at,
    }
}

/// Whether a principal may answer.
#[must_use]
pub(crate) fn may_answer(question: &Question, subject: &str, role: PrincipalRole) -> bool {
    question
        .approver
        .admits(role, question.requested_by == subject)
}

/// Who may, as it is said in an error.
#[must_use]
pub(crate) fn wanted(approver: Approver, locale: Locale) -> &'static str {
    match (locale, approver) {
        (Locale::En, Approver::Asker) => "Only the person who asked may answer this.",
        (Locale::En, Approver::Staff) => "This has to be approved by staff or the owner.",
        (Locale::En, Approver::Owner) => "This has to be approved by the owner.",
        (Locale::Es, Approver::Asker) => "Solo puede responder quien lo pidió.",
        (Locale::Es, Approver::Staff) => "Esto lo tiene que aprobar el personal o el dueño.",
        (Locale::Es, Approver::Owner) => "Esto lo tiene que aprobar el dueño.",
    }
}

/// Ids are ordered by time.
async fn select_listed(
    conn: &mut PgConnection,
    principal: &Principal,
    wanted: Wanted,
    most: u32,
    now: DateTime<Utc>,
) -> Result<Vec<ListedApproval>, sqlx::Error> {
    let only_of = (principal.role < PrincipalRole::Staff).then_some(principal.subject.as_str());
    let rows = sqlx::query!(
        r#"select a.id, a.run_id, s.session_id, a.call_id, a.tool, a.confirmation ->> 'message' as "message!", a.status, a.decided_by,
                  a.decided_via, a.created_at, a.expires_at, a.approver, a.confirmation ->> 'requested_by' as "asked_by!"
           from agent.approvals a join agent.agent_sessions s on s.tenant_id = $1 and s.id = a.session_id
           where a.tenant_id = $1 and ($2::text is null or a.status = $2) and ($3::uuid is null or a.id < $3)
             and ($4::text is null or s.principal = $4)
           order by a.id desc limit $5"#,
        principal.tenant.0,
        wanted.status.map(ApprovalStatus::word),
        wanted.before,
        only_of,
        i64::from(most)
    )
    .fetch_all(conn)
    .await?;
    let listed = rows.into_iter().map(|row| {
        let broken = |what: String| sqlx::Error::Decode(what.into());
        let status = ApprovalStatus::from_word(&row.status).ok_or_else(|| broken(row.status))?;
        let approver = Approver::from_word(&row.approver).ok_or_else(|| broken(row.approver))?;
        Ok(ListedApproval {
            session_id: row.session_id,
            run_id: row.run_id,
            created_at: row.created_at,
            may_answer: status == ApprovalStatus::Pending
                && row.expires_at > now
                && approver.admits(principal.role, row.asked_by == principal.subject),
            asked_by: row.asked_by,
            approver,
            approval: ApprovalView {
                approval_id: row.id,
                call_id: row.call_id,
                tool: row.tool,
                message: row.message,
                status,
                decided_by: row.decided_by,
                decided_via: row.decided_via,
                expires_at: row.expires_at,
            },
        })
    });
    listed.collect()
}
