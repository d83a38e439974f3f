//! What an edge (HTTP, page, command line, channel) may ask of the engine: begin a turn, answer a question, follow a run.

mod summary;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::http::approval::{ApprovalResponse, ApprovalStatus, Decision};
use contracts::http::chat::ChatResponse;
use contracts::http::event::{EventBody, RunEvent};
use contracts::http::run::{RunStatus, RunView};
use contracts::ids::TenantId;
use contracts::token::TokenPerson;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use sqlx::PgConnection;
use tokio::sync::watch;
use uuid::Uuid;

use crate::answers::{self, Reading};
use crate::app::App;
use crate::approvals::{self, Approval, Decided};
use crate::config::WhenBusy;
use crate::language::{self, Language};
use crate::models::ToolOutcome;
use crate::principal::Principal;
use crate::run::events::{self, POLL, Progress};
use crate::run::journal::{self, Held, NewRun};
use crate::run::machine::Machine;
use crate::run::worker;
use crate::sessions::{self, Said, Session};

/// Where a message came in; stored with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The chat page, or a browser.
    Web,
    /// A program.
    Api,
    /// The terminal.
    Cli,
}

impl Channel {
    const fn word(self) -> &'static str {
        match self {
            Channel::Web => "web",
            Channel::Api => "api",
            Channel::Cli => "cli",
        }
    }
}

/// A message to be worked on. The edge has checked its length and the session id's shape.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// The conversation; a new one is made when absent.
    pub session_id: Option<String>,
    /// What the person says.
    pub message: String,
    /// `Idempotency-Key` or `request_id`: the same key and message attach to the run that is there.
    pub request_key: Option<String>,
    /// The same session and text within 60 s attach to the run that is there (a GET must never start work twice).
    pub attach_to_same_text: bool,
    /// Where it came in.
    pub channel: Channel,
}

/// A turn that is being worked on or is over already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The conversation.
    pub session_id: String,
    /// The run that works on it.
    pub run_id: Uuid,
    /// Events of the turn come after this one.
    pub after_seq: i64,
}

/// Why an edge's request was not taken. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// No such session, run or approval for this principal.
    #[error("not found")]
    NotFound,
    /// Only its principal and staff may use a session; only the approver may answer.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// The question has another answer already, or the key was used for another message.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// A run is active in the session and the setting says not to queue.
    #[error("a run is active in this session")]
    Busy,
    /// The question has lapsed.
    #[error("the question has lapsed")]
    Expired,
    /// Too many at once.
    #[error("too many runs at once")]
    RateLimited,
    /// Postgres or the tool server cannot be reached.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Our fault.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<sqlx::Error> for TurnError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => TurnError::Unavailable(error.to_string()),
            sqlx::Error::Database(e)
                if e.code().is_some_and(|c| {
                    c.starts_with("57P") || c.starts_with("08") || c == "53300"
                }) =>
            {
                TurnError::Unavailable(error.to_string())
            }
            _ => TurnError::Internal(error.to_string()),
        }
    }
}

/// A GET that comes again within this time with the same text is the same GET.
const SAME_TEXT: TimeDelta = TimeDelta::seconds(60);
/// How much longer than a run's own deadline somebody waits for its outcome.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stores the message and begins (or queues, or attaches to) its run.
///
/// # Errors
/// [`TurnError`]; nothing is stored then.
pub async fn begin(
    app: &Arc<App>,
    principal: &Principal,
    turn: NewTurn,
) -> Result<Turn, TurnError> {
    match accept(app, principal, &turn).await {
        // The same key came twice at once: the other one is stored now.
        Err(TurnError::Conflict("key")) => accept(app, principal, &turn).await,
        other => other,
    }
}

async fn accept(app: &Arc<App>, principal: &Principal, turn: &NewTurn) -> Result<Turn, TurnError> {
    let now = app.clock.now();
    let tenant = principal.tenant;
    let shown = language::detect(&turn.message);
    // Asked before the transaction, which must not wait for another program.
    let shops_language = if shown.is_none() {
        shops_language(app, principal).await
    } else {
        Language::default()
    };
    let mut tx = app.begin(tenant).await?;
    if let Some(known) = attach_by_key(&mut tx, principal, turn).await? {
        return Ok(known);
    }
    let session_id = turn
        .session_id
        .clone()
        .unwrap_or_else(|| app.new_id().to_string());
    let session = sessions::open(
        &mut tx,
        principal,
        &session_id,
        app.new_id(),
        turn.channel.word(),
        now,
    )
    .await?;
    if !session.admits(principal) {
        return Err(TurnError::Forbidden(
            "This conversation belongs to somebody else.",
        ));
    }
    if turn.attach_to_same_text
        && turn.request_key.is_none()
        && let Some((run_id, after_seq)) =
            said_lately(&mut tx, tenant, session.id, &turn.message, now - SAME_TEXT).await?
    {
        return Ok(Turn {
            session_id,
            run_id,
            after_seq,
        });
    }
    let pending = approvals::pending(&mut tx, tenant, session.id).await?;
    let accepting = Accepting {
        app,
        principal,
        turn,
        session: &session,
        shown,
        shops_language,
        now,
    };
    let (held, after_seq) = if pending.is_empty() {
        accepting.new_run(&mut tx).await?
    } else {
        accepting.with_open_questions(&mut tx, pending).await?
    };
    let run_id = held.run_id();
    tx.commit().await.map_err(key_conflict)?;
    held.start(app);
    Ok(Turn {
        session_id,
        run_id,
        after_seq,
    })
}

/// The shop's language, or English while the tool server is away.
async fn shops_language(app: &App, principal: &Principal) -> Language {
    let offer = app.tools.offer(principal).await;
    offer.map(|o| Language::of(o.locale)).unwrap_or_default()
}

/// What acceptance led to.
enum Accepted {
    /// This process works on it.
    Ours(Box<Held>),
    /// Somebody will: it is queued, or it waits for a person.
    Later {
        run_id: Uuid,
        progress: Option<Progress>,
    },
}

impl Accepted {
    fn run_id(&self) -> Uuid {
        match self {
            Accepted::Ours(held) => held.run_id,
            Accepted::Later { run_id, .. } => *run_id,
        }
    }

    fn start(self, app: &Arc<App>) {
        match self {
            Accepted::Ours(held) => worker::spawn(app, *held),
            Accepted::Later {
                run_id,
                progress: Some(progress),
            } => app.hub.publish(run_id, progress),
            Accepted::Later { progress: None, .. } => {}
        }
    }
}

/// One message being accepted, its session locked.
struct Accepting<'a> {
    app: &'a Arc<App>,
    principal: &'a Principal,
    turn: &'a NewTurn,
    session: &'a Session,
    /// The language of the message, where it shows one.
    shown: Option<Language>,
    /// The language of somebody who has not shown theirs.
    shops_language: Language,
    now: DateTime<Utc>,
}

impl Accepting<'_> {
    /// A request of its own.
    async fn new_run(&self, conn: &mut PgConnection) -> Result<(Accepted, i64), TurnError> {
        let tenant = self.principal.tenant;
        let busy = journal::is_busy(conn, tenant, self.session.id).await?;
        if busy && self.app.settings.when_busy == WhenBusy::Refuse {
            return Err(TurnError::Busy);
        }
        if active_runs(conn, tenant, &self.principal.subject).await?
            >= i64::from(self.app.settings.runs_per_user_max)
        {
            return Err(TurnError::RateLimited);
        }
        let language = self
            .shown
            .or(self.session.language)
            .unwrap_or(self.shops_language);
        let held = Held {
            principal: self.principal.clone(),
            run_id: self.app.new_id(),
            session: self.session.id,
            session_id: self.session.session_id.clone(),
            message_id: self.app.new_id(),
            machine: Machine::begin(
                self.session.window.clone(),
                self.turn.message.clone(),
                language,
            ),
            last_seq: 1,
            last_step: 0,
            resumptions: 0,
        };
        let event = EventBody::Started {
            session_id: held.session_id.clone(),
            run_id: held.run_id,
            message_id: held.message_id,
            model: self.app.model.name().to_owned(),
        };
        journal::insert(
            conn,
            self.app,
            &NewRun {
                held: &held,
                begin: !busy,
                event: &event,
            },
            self.now,
        )
        .await?;
        self.said(conn, held.run_id, 0).await?;
        let accepted = if busy {
            Accepted::Later {
                run_id: held.run_id,
                progress: None,
            }
        } else {
            Accepted::Ours(Box::new(held))
        };
        Ok((accepted, 0))
    }

    /// Questions are open: the message may be their answer, a change of the request, or something else.
    async fn with_open_questions(
        &self,
        conn: &mut PgConnection,
        pending: Vec<Approval>,
    ) -> Result<(Accepted, i64), TurnError> {
        let language = self.session.language.unwrap_or_default();
        let reading = answers::read(&self.turn.message, language);
        let (live, lapsed): (Vec<_>, Vec<_>) = pending
            .into_iter()
            .partition(|a| a.question.expires_at > self.now);
        match (live.as_slice(), reading) {
            (_, Reading::Other) => self.new_run(conn).await,
            ([], _) => match lapsed.first() {
                Some(old) => self.too_late(conn, old).await,
                None => self.new_run(conn).await,
            },
            ([only], Reading::Yes) => self.answered(conn, only, true).await,
            ([only], Reading::No) => self.answered(conn, only, false).await,
            ([only], Reading::Pick(pick)) => match pick.of(1) {
                Some(_) => self.answered(conn, only, true).await,
                None => self.new_run(conn).await,
            },
            ([only], Reading::Change(_)) => self.changed(conn, only).await,
            ([only], Reading::Maybe) => self.ask_again(conn, only).await,
            (several, Reading::Pick(pick)) => match pick.of(several.len()) {
                Some(places) => self.picked(conn, several, &places).await,
                None => self.ask_which(conn, several).await,
            },
            (several, Reading::Yes | Reading::No | Reading::Maybe | Reading::Change(_)) => {
                self.ask_which(conn, several).await
            }
        }
    }

    /// Yes or no to one question.
    async fn answered(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
        yes: bool,
    ) -> Result<(Accepted, i64), TurnError> {
        if !approvals::may_answer(
            &approval.question,
            &self.principal.subject,
            self.principal.role,
        ) {
            return self
                .reply(
                    conn,
                    approval,
                    approvals::wanted(approval.question.approver).to_owned(),
                    false,
                )
                .await;
        }
        let decided = self.decided("chat");
        let (accepted, after_seq) = decide(
            conn,
            self.principal.tenant,
            self.app,
            approval,
            yes,
            &decided,
        )
        .await?;
        self.said(conn, approval.run_id, after_seq).await?;
        Ok((accepted, after_seq))
    }

    /// Yes to some of several. The first one's run is the one this message's turn shows.
    async fn picked(
        &self,
        conn: &mut PgConnection,
        several: &[Approval],
        places: &[usize],
    ) -> Result<(Accepted, i64), TurnError> {
        let mut first = None;
        for approval in places.iter().filter_map(|p| several.get(*p)) {
            if !approvals::may_answer(
                &approval.question,
                &self.principal.subject,
                self.principal.role,
            ) {
                continue;
            }
            let (accepted, after_seq) = decide(
                conn,
                self.principal.tenant,
                self.app,
                approval,
                true,
                &self.decided("chat"),
            )
            .await?;
            if first.is_none() {
                self.said(conn, approval.run_id, after_seq).await?;
                first = Some((accepted, after_seq));
            }
        }
        match first {
            Some(first) => Ok(first),
            None => self.ask_which(conn, several).await,
        }
    }

    /// "Yes, but 3 kg": the question lapses and the run goes on with the change.
    async fn changed(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
    ) -> Result<(Accepted, i64), TurnError> {
        let tenant = self.principal.tenant;
        let Some((mut held, RunStatus::Waiting)) =
            journal::lock(conn, tenant, approval.run_id).await?
        else {
            return self.new_run(conn).await;
        };
        let after_seq = held.last_seq;
        let mut events = vec![resumed(self.app, &held)];
        let open: Vec<_> = held
            .machine
            .open_questions()
            .map(|(call, id)| (call.clone(), id))
            .collect();
        for (call, id) in open {
            approvals::set_status(conn, tenant, id, ApprovalStatus::Superseded).await?;
            if let Some(old) = approvals::find(conn, tenant, id).await? {
                events.push(answered_event(&old, ApprovalStatus::Superseded, None));
            }
            events.push(worker::returned(
                &call.id,
                &call.tool,
                &ToolOutcome::Superseded,
            ));
        }
        held.machine.superseded(self.turn.message.clone());
        let accepted = go_on(conn, self.app, held, &events, self.now).await?;
        self.said(conn, approval.run_id, after_seq).await?;
        Ok((accepted, after_seq))
    }

    /// An answer to a question that has lapsed: the person is told, nothing is done.
    async fn too_late(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
    ) -> Result<(Accepted, i64), TurnError> {
        match expire(
            conn,
            self.app,
            self.principal.tenant,
            approval.run_id,
            self.now,
        )
        .await?
        {
            Some((held, events, after_seq)) => {
                let accepted = go_on(conn, self.app, held, &events, self.now).await?;
                self.said(conn, approval.run_id, after_seq).await?;
                Ok((accepted, after_seq))
            }
            None => self.new_run(conn).await,
        }
    }

    /// "Maybe": the question again, word for word.
    async fn ask_again(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
    ) -> Result<(Accepted, i64), TurnError> {
        self.reply(conn, approval, String::new(), true).await
    }

    /// A bare yes with several questions open.
    async fn ask_which(
        &self,
        conn: &mut PgConnection,
        several: &[Approval],
    ) -> Result<(Accepted, i64), TurnError> {
        let Some(last) = several.last() else {
            return self.new_run(conn).await;
        };
        let mut text = match self.session.language.unwrap_or_default().locale() {
            contracts::locale::Locale::En => "Which one? Answer with its number.".to_owned(),
            contracts::locale::Locale::Es => "¿Cuál? Responda con su número.".to_owned(),
        };
        for (i, approval) in several.iter().enumerate() {
            text.push_str(&format!("\n{}. {}", i + 1, approval.question.message));
        }
        self.reply(conn, last, text, false).await
    }

    /// An answer by code, in the run that waits, which goes on waiting.
    async fn reply(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
        text: String,
        repeat: bool,
    ) -> Result<(Accepted, i64), TurnError> {
        let tenant = self.principal.tenant;
        let Some((mut held, RunStatus::Waiting)) =
            journal::lock(conn, tenant, approval.run_id).await?
        else {
            return Err(TurnError::Busy);
        };
        let after_seq = held.last_seq;
        let mut events = vec![resumed(self.app, &held)];
        let said = if repeat {
            events.push(EventBody::Question {
                call_id: approval.call.id.clone(),
                confirmation: approval.view(),
            });
            approval.question.message.clone()
        } else {
            let text_id = format!("text_reply_{after_seq}");
            events.push(EventBody::TextStarted {
                text_id: text_id.clone(),
            });
            events.push(EventBody::TextDelta {
                text_id: text_id.clone(),
                delta: text.clone(),
            });
            events.push(EventBody::TextFinished { text_id });
            text
        };
        events.push(EventBody::Waiting {
            usage: held.machine.usage,
        });
        journal::resume(
            conn,
            self.app,
            &mut held,
            RunStatus::Waiting,
            &events,
            self.now,
        )
        .await?;
        self.said(conn, approval.run_id, after_seq).await?;
        sessions::assistant_says(
            conn,
            tenant,
            self.app.new_id(),
            self.session.id,
            approval.run_id,
            &said,
            self.now,
        )
        .await?;
        let progress = Progress {
            seq: held.last_seq,
            ended: true,
        };
        Ok((
            Accepted::Later {
                run_id: approval.run_id,
                progress: Some(progress),
            },
            after_seq,
        ))
    }

    async fn said(
        &self,
        conn: &mut PgConnection,
        run_id: Uuid,
        after_seq: i64,
    ) -> Result<(), TurnError> {
        let said = Said {
            session: self.session.id,
            run_id,
            after_seq,
            principal: &self.principal.subject,
            text: &self.turn.message,
            request_key: self.turn.request_key.as_deref(),
        };
        sessions::person_says(
            conn,
            self.principal.tenant,
            self.app.new_id(),
            &said,
            self.now,
        )
        .await
        .map_err(key_conflict)
    }

    fn decided(&self, via: &str) -> Decided {
        Decided {
            by: person(self.principal),
            via: via.to_owned(),
            at: self.now,
            reason: None,
        }
    }
}

fn person(principal: &Principal) -> TokenPerson {
    TokenPerson {
        sub: principal.subject.clone(),
        role: principal.role,
    }
}

fn key_conflict(error: sqlx::Error) -> TurnError {
    match &error {
        sqlx::Error::Database(e) if e.constraint() == Some("message_request") => {
            TurnError::Conflict("key")
        }
        _ => error.into(),
    }
}

fn resumed(app: &App, held: &Held) -> EventBody {
    EventBody::Resumed {
        session_id: held.session_id.clone(),
        run_id: held.run_id,
        message_id: held.message_id,
        model: app.model.name().to_owned(),
    }
}

pub(crate) fn answered_event(
    approval: &Approval,
    status: ApprovalStatus,
    decided: Option<&Decided>,
) -> EventBody {
    EventBody::Answered {
        call_id: approval.call.id.clone(),
        confirmation: approval.view(),
        status,
        decided_by: decided.map(|d| d.by.sub.clone()),
    }
}

/// Records a person's answer and, if the run waits, sets it going. The run's row is locked first, so that a worker that is about to wait
/// sees the answer.
async fn decide(
    conn: &mut PgConnection,
    tenant: TenantId,
    app: &Arc<App>,
    approval: &Approval,
    yes: bool,
    decided: &Decided,
) -> Result<(Accepted, i64), TurnError> {
    let (held, run_status) = journal::lock(conn, tenant, approval.run_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    let status = if yes {
        ApprovalStatus::Approved
    } else {
        ApprovalStatus::Denied
    };
    if !approvals::decide(conn, tenant, approval.id, status, decided).await? {
        return Err(TurnError::Conflict(
            "This question has been answered already.",
        ));
    }
    let after_seq = held.last_seq;
    if run_status != RunStatus::Waiting {
        return Ok((
            Accepted::Later {
                run_id: approval.run_id,
                progress: None,
            },
            after_seq,
        ));
    }
    let mut held = held;
    let events = [
        resumed(app, &held),
        answered_event(approval, status, Some(decided)),
    ];
    held.machine.decided(&approval.call.id, approval.id);
    let accepted = go_on(conn, app, held, &events, decided.at).await?;
    Ok((accepted, after_seq))
}

/// A waiting run goes on: here, or queued behind another of its session.
async fn go_on(
    conn: &mut PgConnection,
    app: &Arc<App>,
    mut held: Held,
    events: &[EventBody],
    now: DateTime<Utc>,
) -> Result<Accepted, TurnError> {
    let tenant = held.principal.tenant;
    let busy = journal::is_busy(conn, tenant, held.session).await?;
    let status = if busy {
        RunStatus::Queued
    } else {
        RunStatus::Running
    };
    journal::resume(conn, app, &mut held, status, events, now).await?;
    Ok(if busy {
        Accepted::Later {
            run_id: held.run_id,
            progress: None,
        }
    } else {
        Accepted::Ours(Box::new(held))
    })
}

/// Lets the lapsed questions of a waiting run lapse; what is left to do is to tell the person.
async fn expire(
    conn: &mut PgConnection,
    app: &App,
    tenant: TenantId,
    run_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<(Held, Vec<EventBody>, i64)>, sqlx::Error> {
    let Some((mut held, RunStatus::Waiting)) = journal::lock(conn, tenant, run_id).await? else {
        return Ok(None);
    };
    let after_seq = held.last_seq;
    let mut events = vec![resumed(app, &held)];
    for approval in approvals::of_run(conn, tenant, run_id).await? {
        if approval.status == ApprovalStatus::Pending && approval.question.expires_at <= now {
            approvals::set_status(conn, tenant, approval.id, ApprovalStatus::Expired).await?;
            events.push(answered_event(&approval, ApprovalStatus::Expired, None));
            events.push(worker::returned(
                &approval.call.id,
                &approval.call.tool,
                &ToolOutcome::Expired,
            ));
            held.machine.closed(&approval.call.id, ToolOutcome::Expired);
        }
    }
    Ok((events.len() > 1).then_some((held, events, after_seq)))
}

/// Queues a waiting run whose questions have lapsed, so that a worker tells the person.
pub(crate) async fn lapse(
    app: &Arc<App>,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<(), sqlx::Error> {
    let now = app.clock.now();
    let mut tx = app.begin(tenant).await?;
    if let Some((mut held, events, _)) = expire(&mut tx, app, tenant, run_id, now).await? {
        journal::resume(&mut tx, app, &mut held, RunStatus::Queued, &events, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Waits until the turn is over (or its deadline passes) and sums it up.
///
/// # Errors
/// [`TurnError::Unavailable`] when the tool server or Postgres could not be reached, [`TurnError::NotFound`].
pub async fn outcome(
    app: &Arc<App>,
    principal: &Principal,
    turn: &Turn,
) -> Result<ChatResponse, TurnError> {
    let mut woken = app.hub.subscribe(turn.run_id);
    let deadline = tokio::time::Instant::now() + app.settings.run_deadline + PATIENCE;
    loop {
        let events = {
            let mut tx = app.begin(principal.tenant).await?;
            events::read(&mut tx, principal.tenant, turn.run_id, 0).await?
        };
        if events.is_empty() {
            return Err(TurnError::NotFound);
        }
        if let Some(until) = summary::end_of_turn(&events, turn.after_seq) {
            let response = summary::sum_up(turn, &events[..until])?;
            return with_open_questions(app, principal, response).await;
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(TurnError::Unavailable(
                "the run did not end in time".to_owned(),
            ));
        }
        wake(&mut woken, |p| p.ended).await;
    }
}

/// Questions of the session that stand open are part of every answer.
async fn with_open_questions(
    app: &App,
    principal: &Principal,
    mut response: ChatResponse,
) -> Result<ChatResponse, TurnError> {
    let now = app.clock.now();
    let mut tx = app.begin(principal.tenant).await?;
    if let Some(session) = sessions::find(&mut tx, principal.tenant, &response.session_id).await? {
        let open = approvals::pending(&mut tx, principal.tenant, session.id).await?;
        response.confirmations = open
            .iter()
            .filter(|a| a.question.expires_at > now)
            .map(Approval::view)
            .collect();
    }
    Ok(response)
}

/// Waits for a wake-up of the wanted kind, or until it is time to look again anyway.
async fn wake(woken: &mut watch::Receiver<Progress>, wanted: impl Fn(&Progress) -> bool) {
    let changed = async {
        while woken.changed().await.is_ok() {
            if wanted(&woken.borrow_and_update()) {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    let _ = tokio::time::timeout(POLL, changed).await;
}

/// The run's events after `after_seq`, from Postgres, then as they come, until the turn they belong to is over. Works for a run that
/// another process is working on. Ends by itself.
///
/// # Errors
/// [`TurnError::NotFound`].
pub async fn follow(
    app: &Arc<App>,
    principal: &Principal,
    run_id: Uuid,
    after_seq: i64,
) -> Result<BoxStream<'static, RunEvent>, TurnError> {
    session_of(app, principal, run_id).await?;
    let state = Following {
        app: Arc::clone(app),
        tenant: principal.tenant,
        run_id,
        seq: after_seq,
        woken: app.hub.subscribe(run_id),
        ready: VecDeque::new(),
        ended: false,
        deadline: tokio::time::Instant::now() + app.settings.run_deadline + PATIENCE,
    };
    Ok(stream::unfold(state, Following::next).boxed())
}

struct Following {
    app: Arc<App>,
    tenant: TenantId,
    run_id: Uuid,
    seq: i64,
    woken: watch::Receiver<Progress>,
    ready: VecDeque<RunEvent>,
    ended: bool,
    deadline: tokio::time::Instant,
}

impl Following {
    async fn next(mut self) -> Option<(RunEvent, Following)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.seq = event.seq;
                self.ended |= event.body.ends_turn();
                if event.body.ends_turn() {
                    self.ready.clear();
                }
                return Some((event, self));
            }
            if self.ended
                || self.app.stop.is_cancelled()
                || tokio::time::Instant::now() >= self.deadline
            {
                return None;
            }
            match self.read().await {
                Ok(events) if events.is_empty() && !self.active().await => return None,
                Ok(events) if events.is_empty() => {
                    let (seq, stop) = (self.seq, self.app.stop.clone());
                    tokio::select! {
                        () = wake(&mut self.woken, |p| p.seq > seq) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Ok(events) => self.ready.extend(events),
                // The table cannot be read just now; the client reconnects if we give up, so wait a little.
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Whether more is to come: nobody works on a run that waits or is over. Asked after the events were read, so that its last ones
    /// are not missed; a run that ended in between shows them at the next read.
    async fn active(&self) -> bool {
        let head = async {
            let mut tx = self.app.begin(self.tenant).await?;
            run_head(&mut tx, self.tenant, self.run_id).await
        };
        match head.await {
            Ok(Some(head)) => {
                head.last_seq > self.seq || matches!(head.status.as_str(), "running" | "queued")
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }

    async fn read(&self) -> Result<Vec<RunEvent>, sqlx::Error> {
        let mut tx = self.app.begin(self.tenant).await?;
        events::read(&mut tx, self.tenant, self.run_id, self.seq).await
    }
}

/// The session's active run, as a turn that replays from the beginning of its current turn; `None` when nothing is active (a run
/// waiting for an answer is not active).
///
/// # Errors
/// [`TurnError::NotFound`] for an unknown session, [`TurnError::Forbidden`].
pub async fn active(
    app: &Arc<App>,
    principal: &Principal,
    session_id: &str,
) -> Result<Option<Turn>, TurnError> {
    let mut tx = app.begin(principal.tenant).await?;
    let session = sessions::find(&mut tx, principal.tenant, session_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    if !session.admits(principal) {
        return Err(TurnError::NotFound);
    }
    let Some(run_id) = active_run(&mut tx, principal.tenant, session.id).await? else {
        return Ok(None);
    };
    let events = events::read(&mut tx, principal.tenant, run_id, 0).await?;
    let after_seq = events
        .iter()
        .rev()
        .find(|e| e.body.begins_turn())
        .map_or(0, |e| e.seq - 1);
    Ok(Some(Turn {
        session_id: session.session_id,
        run_id,
        after_seq,
    }))
}

/// Records a person's answer and resumes the run. The same answer again gives the recorded response.
///
/// # Errors
/// [`TurnError::Conflict`] for another answer, [`TurnError::Expired`], [`TurnError::Forbidden`], [`TurnError::NotFound`].
pub async fn answer(
    app: &Arc<App>,
    principal: &Principal,
    approval_id: Uuid,
    decision: Decision,
    reason: Option<String>,
    via: &'static str,
) -> Result<ApprovalResponse, TurnError> {
    let turn = answer_and_follow(app, principal, approval_id, decision, reason, via).await?;
    let mut tx = app.begin(principal.tenant).await?;
    if let Some(stored) = approvals::stored_response(&mut tx, principal.tenant, approval_id).await?
    {
        return serde_json::from_value(stored).map_err(|e| TurnError::Internal(e.to_string()));
    }
    tx.commit().await?;
    let outcome = outcome(app, principal, &turn).await?;
    let mut tx = app.begin(principal.tenant).await?;
    let approval = approvals::find(&mut tx, principal.tenant, approval_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    let decided = approval
        .decided
        .ok_or_else(|| TurnError::Internal("answered by nobody".to_owned()))?;
    let response = ApprovalResponse {
        approval_id,
        decision,
        decided_by: decided.by.sub,
        decided_at: decided.at,
        outcome,
    };
    let json = serde_json::to_value(&response).map_err(|e| TurnError::Internal(e.to_string()))?;
    approvals::store_response(&mut tx, principal.tenant, approval_id, &json).await?;
    let first = approvals::stored_response(&mut tx, principal.tenant, approval_id).await?;
    tx.commit().await?;
    first.map_or(Ok(response), |stored| {
        serde_json::from_value(stored).map_err(|e| TurnError::Internal(e.to_string()))
    })
}

/// Like [`answer`], but returns as soon as the answer is recorded, with the turn to follow. For streams.
///
/// # Errors
/// As [`answer`].
pub async fn answer_and_follow(
    app: &Arc<App>,
    principal: &Principal,
    approval_id: Uuid,
    decision: Decision,
    reason: Option<String>,
    via: &'static str,
) -> Result<Turn, TurnError> {
    let now = app.clock.now();
    let mut tx = app.begin(principal.tenant).await?;
    let found = approvals::find(&mut tx, principal.tenant, approval_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    let session = sessions::lock(&mut tx, principal.tenant, found.session)
        .await?
        .ok_or(TurnError::NotFound)?;
    // Read again under the lock: somebody else may just have answered.
    let approval = approvals::find(&mut tx, principal.tenant, approval_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    if !approvals::may_answer(&approval.question, &principal.subject, principal.role) {
        let forbidden = if session.admits(principal) {
            TurnError::Forbidden(approvals::wanted(approval.question.approver))
        } else {
            TurnError::NotFound
        };
        return Err(forbidden);
    }
    match (approval.decision(), approval.status) {
        (Some(before), _) if before == decision => {
            return turn_of(&mut tx, principal.tenant, &approval, &session).await;
        }
        (Some(_), _) => {
            return Err(TurnError::Conflict(
                "This question was answered the other way.",
            ));
        }
        (None, ApprovalStatus::Superseded) => {
            return Err(TurnError::Conflict(
                "This question was replaced by a new one.",
            ));
        }
        (None, ApprovalStatus::Expired) => return Err(TurnError::Expired),
        (None, _) => {}
    }
    if approval.question.expires_at <= now {
        drop(tx);
        lapse(app, principal.tenant, approval.run_id).await?;
        return Err(TurnError::Expired);
    }
    let decided = Decided {
        by: person(principal),
        via: via.to_owned(),
        at: now,
        reason,
    };
    let (accepted, after_seq) = decide(
        &mut tx,
        principal.tenant,
        app,
        &approval,
        decision == Decision::Approve,
        &decided,
    )
    .await?;
    tx.commit().await?;
    accepted.start(app);
    Ok(Turn {
        session_id: session.session_id,
        run_id: approval.run_id,
        after_seq,
    })
}

/// The turn an answer that was given before began: it starts with the event that resumed the run.
async fn turn_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: &Approval,
    session: &Session,
) -> Result<Turn, TurnError> {
    let events = events::read(conn, tenant, approval.run_id, 0).await?;
    let answered = events.iter().position(|e| {
        matches!(&e.body, EventBody::Answered { confirmation, status, .. }
            if confirmation.approval_id == approval.id && matches!(status, ApprovalStatus::Approved | ApprovalStatus::Denied))
    });
    let before = answered.map_or(&events[..0], |i| &events[..i]);
    let after_seq = before
        .iter()
        .rev()
        .find(|e| e.body.begins_turn())
        .map_or(0, |e| e.seq - 1);
    Ok(Turn {
        session_id: session.session_id.clone(),
        run_id: approval.run_id,
        after_seq,
    })
}

/// The trace of a run.
///
/// # Errors
/// [`TurnError::NotFound`], [`TurnError::Forbidden`].
pub async fn trace(
    app: &Arc<App>,
    principal: &Principal,
    run_id: Uuid,
) -> Result<RunView, TurnError> {
    let session_id = session_of(app, principal, run_id).await?;
    let tenant = principal.tenant;
    let mut tx = app.begin(tenant).await?;
    let head = run_head(&mut tx, tenant, run_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    Ok(RunView {
        run_id,
        session_id,
        status: RunStatus::from_word(&head.status)
            .ok_or_else(|| TurnError::Internal(head.status.clone()))?,
        created_at: head.created_at,
        finished_at: head.finished_at,
        steps: journal::steps(&mut tx, tenant, run_id).await?,
        approvals: approvals::of_run(&mut tx, tenant, run_id)
            .await?
            .iter()
            .map(approvals::traced)
            .collect(),
        events: events::read(&mut tx, tenant, run_id, 0).await?,
    })
}

/// The session of a run the principal may see.
async fn session_of(app: &App, principal: &Principal, run_id: Uuid) -> Result<String, TurnError> {
    let mut tx = app.begin(principal.tenant).await?;
    let (session_id, owner) = session_of_run(&mut tx, principal.tenant, run_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    let admitted =
        owner == principal.subject || principal.role >= contracts::token::PrincipalRole::Staff;
    if admitted {
        Ok(session_id)
    } else {
        Err(TurnError::NotFound)
    }
}

async fn attach_by_key(
    conn: &mut PgConnection,
    principal: &Principal,
    turn: &NewTurn,
) -> Result<Option<Turn>, TurnError> {
    let Some(key) = &turn.request_key else {
        return Ok(None);
    };
    let Some(known) = message_of_key(conn, principal.tenant, &principal.subject, key).await? else {
        return Ok(None);
    };
    let same_session = turn
        .session_id
        .as_ref()
        .is_none_or(|id| *id == known.session_id);
    if known.text != turn.message || !same_session {
        return Err(TurnError::Conflict(
            "This key was already used for another message.",
        ));
    }
    Ok(Some(Turn {
        session_id: known.session_id,
        run_id: known.run_id,
        after_seq: known.after_seq,
    }))
}

struct KnownMessage {
    session_id: String,
    run_id: Uuid,
    after_seq: i64,
    text: String,
}

struct RunHead {
    status: String,
    last_seq: i64,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

async fn message_of_key(
    conn: &mut PgConnection,
    tenant: TenantId,
    principal: &str,
    key: &str,
) -> Result<Option<KnownMessage>, sqlx::Error> {
    sqlx::query_as!(
        KnownMessage,
        r#"select s.session_id, m.run_id as "run_id!", m.after_seq as "after_seq!", m.text
           from agent.agent_messages m join agent.agent_sessions s on s.tenant_id = $1 and s.id = m.session_id
           where m.tenant_id = $1 and m.principal = $2 and m.request_key = $3"#,
        tenant.0,
        principal,
        key
    )
    .fetch_optional(conn)
    .await
}

async fn said_lately(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: Uuid,
    text: &str,
    since: DateTime<Utc>,
) -> Result<Option<(Uuid, i64)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select run_id as "run_id!", after_seq as "after_seq!" from agent.agent_messages
           where tenant_id = $1 and session_id = $2 and role = 'user' and text = $3 and created_at > $4
           order by created_at desc limit 1"#,
        tenant.0,
        session,
        text,
        since
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| (r.run_id, r.after_seq)))
}

async fn active_runs(
    conn: &mut PgConnection,
    tenant: TenantId,
    principal: &str,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from agent.runs where tenant_id = $1 and principal = $2 and status in ('queued', 'running')"#,
        tenant.0,
        principal
    )
    .fetch_one(conn)
    .await
}

async fn active_run(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from agent.runs where tenant_id = $1 and session_id = $2 and status in ('running', 'queued')
         order by status desc, created_at limit 1",
        tenant.0,
        session
    )
    .fetch_optional(conn)
    .await
}

async fn session_of_run(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Option<(String, String)>, sqlx::Error> {
    let row = sqlx::query!(
        "select s.session_id, s.principal from agent.runs r join agent.agent_sessions s on s.tenant_id = $1 and s.id = r.session_id
         where r.tenant_id = $1 and r.id = $2",
        tenant.0,
        run_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| (r.session_id, r.principal)))
}

async fn run_head(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Option<RunHead>, sqlx::Error> {
    sqlx::query_as!(
        RunHead,
        "select status, last_seq, created_at, finished_at from agent.runs where tenant_id = $1 and id = $2",
        tenant.0,
        run_id
    )
    .fetch_optional(conn)
    .await
}
