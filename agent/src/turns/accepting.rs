//! Taking a message in: as a request of its own, or as what it is to the questions that are open.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::http::approval::ApprovalStatus;
use contracts::http::event::EventBody;
use contracts::http::run::RunStatus;
use contracts::ids::TenantId;
use contracts::locale::Locale;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{NewTurn, Turn, TurnError, countersigning, start};
use crate::answers::{self, Reading};
use crate::app::App;
use crate::approvals::{self, Approval, Decided};
use crate::config::WhenBusy;
use crate::language::{self, Language};
use crate::models::ToolOutcome;
use crate::principal::Principal;
use crate::run::events;
use crate::run::hub::Begun;
use crate::run::journal::{self, Accepted, Held, NewRun};
use crate::run::machine::Machine;
use crate::run::waiting::{self, Onward};
use crate::sessions::{self, Said, Session};

/// A GET that comes again within this time with the same text is the same GET.
const SAME_TEXT: TimeDelta = TimeDelta::seconds(60);

/// Takes a message in. `None`, and nothing is stored, when it may be a plain answer to a question of another conversation that was shown
/// in this one; `may_answer_shown` is false once it is known not to be.
pub(super) async fn accept(
    app: &Arc<App>,
    principal: &Principal,
    turn: &NewTurn,
    may_answer_shown: bool,
) -> Result<Option<Turn>, TurnError> {
    let now = app.clock.now();
    let tenant = principal.tenant;
    let shown = language::detect(&turn.message);
    // Asked before the transaction, which must not wait for another program.
    let shops_language = match shown {
        None => shops_language(app, principal).await,
        Some(_) => Language::default(),
    };
    let mut tx = app.begin(tenant).await?;
    if let Some(known) = attach_by_key(&mut tx, principal, turn).await? {
        return Ok(Some(known));
    }
    let session_id = turn
        .session_id
        .clone()
        .unwrap_or_else(|| app.new_id().to_string());
    let mut session = sessions::open(
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
    if let Some((run_id, after_seq)) = attach_by_text(&mut tx, tenant, turn, &session, now).await? {
        return Ok(Some(Turn {
            session_id,
            run_id,
            after_seq,
        }));
    }
    let is_plain = || countersigning::is_plain_answer(principal, &turn.message);
    if may_answer_shown && session.shown.is_some() && is_plain() {
        return Ok(None);
    }
    let window = std::mem::take(&mut session.window);
    let accepting = Accepting {
        app,
        principal,
        turn,
        session: &session,
        shown,
        shops_language,
        now,
    };
    let (mut onward, after_seq) = match accepting.run(&mut tx, false).await? {
        Some(begun) => begun,
        None => {
            let pending = approvals::pending(&mut tx, tenant, session.id).await?;
            accepting.with_open_questions(&mut tx, pending).await?
        }
    };
    let run_id = onward.run_id();
    if let Onward::Ours(held) = &mut onward {
        held.machine.go_on_after(window);
    }
    tx.commit().await.map_err(key_conflict)?;
    start(app, onward);
    Ok(Some(Turn {
        session_id,
        run_id,
        after_seq,
    }))
}

/// The shop's language, or English while the tool server is away.
pub(super) async fn shops_language(app: &App, principal: &Principal) -> Language {
    let offer = app.tools.offer(principal).await;
    offer.map(|o| Language::of(o.locale)).unwrap_or_default()
}

/// One message being accepted, its session locked. The session's window is elsewhere: only a run that begins needs it.
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
    /// A request of its own, whatever is open.
    async fn new_run(&self, conn: &mut PgConnection) -> Result<(Onward, i64), TurnError> {
        let begun = self.run(conn, true).await?;
        begun.ok_or_else(|| TurnError::Internal("a message was not accepted".to_owned()))
    }

    /// A request of its own; `None` when questions are open that it may be about, unless it is known not to be.
    async fn run(
        &self,
        conn: &mut PgConnection,
        although_asked: bool,
    ) -> Result<Option<(Onward, i64)>, TurnError> {
        let mut held = self.held();
        let event = EventBody::Started {
            session_id: held.session_id.clone(),
            run_id: held.run_id,
            message_id: held.message_id,
            model: self.app.model.name().to_owned(),
        };
        let new = NewRun {
            said: &self.turn.message,
            request_key: self.turn.request_key.as_deref(),
            message: self.app.new_id(),
            event: &event,
            runs_max: i64::from(self.app.settings.runs_per_user_max),
            refuse_when_busy: self.app.settings.when_busy == WhenBusy::Refuse,
        };
        let accepted = journal::accept(conn, self.app, &mut held, &new, although_asked, self.now);
        let onward = match accepted.await.map_err(key_conflict)? {
            Accepted::Asked => return Ok(None),
            Accepted::Busy => return Err(TurnError::Busy),
            Accepted::TooMany => return Err(TurnError::RateLimited),
            Accepted::Queued => Onward::Later {
                run_id: held.run_id,
                stored: Vec::new(),
            },
            Accepted::Running => Onward::Ours(Box::new(held)),
        };
        if let Some(shown) = self.shown.filter(|s| self.session.language != Some(*s)) {
            let tenant = self.principal.tenant;
            sessions::set_language(conn, tenant, self.session.id, shown).await?;
        }
        Ok(Some((onward, 0)))
    }

    /// A run of this message's own, not stored yet.
    fn held(&self) -> Held {
        let language = self
            .shown
            .or(self.session.language)
            .unwrap_or(self.shops_language);
        let owner = (self.principal.tenant, self.session.principal.clone());
        Held {
            principal: self.principal.clone(),
            run_id: self.app.new_id(),
            session: self.session.id,
            session_id: self.session.session_id.clone(),
            message_id: self.app.new_id(),
            // The window is given to it once it is known to run.
            machine: Machine::begin(Vec::new(), self.turn.message.clone(), language),
            last_seq: 1,
            last_step: 0,
            resumptions: 0,
            lease: self.app.new_id(),
            begun: Begun {
                owner: Some(owner),
                ..Begun::default()
            },
            is_waited_for: false,
        }
    }

    /// Questions are open: the message may be their answer, a change of the request, or something else.
    async fn with_open_questions(
        &self,
        conn: &mut PgConnection,
        pending: Vec<Approval>,
    ) -> Result<(Onward, i64), TurnError> {
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
            ([only], Reading::Change(_)) if self.can_change(only) => self.changed(conn, only).await,
            // What changes nothing of it leaves it open, and is answered as a message of its own.
            ([_], Reading::Change(_)) => self.new_run(conn).await,
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

    /// Whether the message makes something else of what is asked.
    fn can_change(&self, approval: &Approval) -> bool {
        let language = self.session.language.unwrap_or_default();
        // The day only has to make dates readable: which day a change means is settled where it is carried out, by the shop's clock.
        let today = self.now.date_naive();
        self.app
            .model
            .can_change(&approval.call, &self.turn.message, language, today)
    }

    /// Yes or no to one question.
    async fn answered(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
        yes: bool,
    ) -> Result<(Onward, i64), TurnError> {
        if !approvals::may_answer(
            &approval.question,
            &self.principal.subject,
            self.principal.role,
        ) {
            return self
                .reply(
                    conn,
                    approval,
                    approvals::wanted(approval.question.approver, self.locale()).to_owned(),
                    false,
                )
                .await;
        }
        let decided = self.decided("chat");
        let (accepted, after_seq) = waiting::decide(
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
    ) -> Result<(Onward, i64), TurnError> {
        let mut first = None;
        for approval in places.iter().filter_map(|p| several.get(*p)) {
            if !approvals::may_answer(
                &approval.question,
                &self.principal.subject,
                self.principal.role,
            ) {
                continue;
            }
            let (accepted, after_seq) = waiting::decide(
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
    ) -> Result<(Onward, i64), TurnError> {
        let tenant = self.principal.tenant;
        let Some((mut held, RunStatus::Waiting)) =
            journal::lock(conn, tenant, approval.run_id).await?
        else {
            return self.new_run(conn).await;
        };
        let after_seq = held.last_seq;
        let mut events = vec![events::resumed(self.app, &held)];
        let open: Vec<_> = held
            .machine
            .open_questions()
            .map(|(call, id)| (call.clone(), id))
            .collect();
        for (call, id) in open {
            approvals::set_status(conn, tenant, id, ApprovalStatus::Superseded).await?;
            if let Some(old) = approvals::find(conn, tenant, id).await? {
                events.push(events::answered(&old, ApprovalStatus::Superseded, None));
            }
            events.push(events::returned(
                &call.id,
                &call.tool,
                &ToolOutcome::Superseded,
            ));
        }
        held.machine.superseded(self.turn.message.clone());
        let accepted = waiting::go_on(conn, self.app, held, &events, self.now).await?;
        self.said(conn, approval.run_id, after_seq).await?;
        Ok((accepted, after_seq))
    }

    /// An answer to a question that has lapsed: the person is told, nothing is done.
    async fn too_late(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
    ) -> Result<(Onward, i64), TurnError> {
        match waiting::expire(
            conn,
            self.app,
            self.principal.tenant,
            approval.run_id,
            self.now,
        )
        .await?
        {
            Some((held, events, after_seq)) => {
                let accepted = waiting::go_on(conn, self.app, held, &events, self.now).await?;
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
    ) -> Result<(Onward, i64), TurnError> {
        self.reply(conn, approval, String::new(), true).await
    }

    /// A bare yes with several questions open.
    async fn ask_which(
        &self,
        conn: &mut PgConnection,
        several: &[Approval],
    ) -> Result<(Onward, i64), TurnError> {
        let Some(last) = several.last() else {
            return self.new_run(conn).await;
        };
        let mut text = match self.locale() {
            Locale::En => "Which one? Answer with its number.".to_owned(),
            Locale::Es => "¿Cuál? Responda con su número.".to_owned(),
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
    ) -> Result<(Onward, i64), TurnError> {
        let tenant = self.principal.tenant;
        let Some((mut held, RunStatus::Waiting)) =
            journal::lock(conn, tenant, approval.run_id).await?
        else {
            return Err(TurnError::Busy);
        };
        let after_seq = held.last_seq;
        let mut events = vec![events::resumed(self.app, &held)];
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
            events.push(EventBody::TextFinished {
                text_id,
                discarded: false,
            });
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
        let onward = Onward::Later {
            run_id: approval.run_id,
            stored: held.begun.events,
        };
        Ok((onward, after_seq))
    }

    fn locale(&self) -> Locale {
        self.session
            .language
            .unwrap_or(self.shops_language)
            .locale()
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
            sub: self.principal.subject.clone(),
            role: Some(self.principal.role),
            via: via.to_owned(),
            at: self.now,
            reason: None,
        }
    }
}

pub(super) fn key_conflict(error: sqlx::Error) -> TurnError {
    match &error {
        sqlx::Error::Database(e) if e.constraint() == Some("message_request") => {
            TurnError::Conflict("key")
        }
        _ => error.into(),
    }
}

pub(super) async fn attach_by_key(
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

/// The turn that the same text began a moment ago, where that is asked for.
pub(super) async fn attach_by_text(
    conn: &mut PgConnection,
    tenant: TenantId,
    turn: &NewTurn,
    session: &Session,
    now: DateTime<Utc>,
) -> Result<Option<(Uuid, i64)>, sqlx::Error> {
    if !turn.attach_to_same_text || turn.request_key.is_some() {
        return Ok(None);
    }
    said_lately(conn, tenant, session.id, &turn.message, now - SAME_TEXT).await
}

struct KnownMessage {
    session_id: String,
    run_id: Uuid,
    after_seq: i64,
    text: String,
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
