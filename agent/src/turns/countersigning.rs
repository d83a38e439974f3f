//! Answering, in one conversation, questions that were asked in others: an owner in her own chat says what becomes of the refund that staff
//! asked for. Read and answered by code; no model takes part, and none sees it, because it stays out of the session's window.
//!
//! - What waits is shown to staff and the owner, numbered, word for word as the tool server asked.
//! - **Nothing is answered that this conversation has not shown.** Who names a question that was not shown is shown it and asked.
//! - A plain yes or no means a question of another conversation only when that one alone was shown and nothing has been said since; a
//!   question that is open in this conversation comes first.
//! - Numbers are those of what was shown last, whatever has been answered meanwhile.
//! - Who may not answer is told who may, and nothing happens.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::http::approval::Decision;
use contracts::http::chat::{ChatStatus, Usage};
use contracts::http::event::EventBody;
use contracts::locale::Locale;
use contracts::token::PrincipalRole;
use sqlx::PgConnection;
use uuid::Uuid;

use super::accepting::{attach_by_key, attach_by_text, key_conflict, shops_language};
use super::{NewTurn, Turn, TurnError, answer_and_follow, outcome};
use crate::answers::others::{self, AboutOthers};
use crate::app::App;
use crate::approvals::{self, Approval};
use crate::language::{self, Language};
use crate::models::Message;
use crate::principal::Principal;
use crate::run::hub::Begun;
use crate::run::journal::{self, Held};
use crate::run::machine::Machine;
use crate::sessions::{self, Said, Session, Shown};

/// Questions that are looked at; more would be no list for a person.
const OPEN_MAX: i64 = 100;
/// Questions that are shown at once.
const SHOWN_MAX: usize = 10;
/// How long the answer waits for what came of it, to tell that too. The run goes on without it.
const OUTCOME: Duration = Duration::from_secs(10);

/// Whether a message speaks of questions of other conversations by itself.
pub(super) fn names_others(principal: &Principal, message: &str) -> bool {
    matches!(
        read(principal, message),
        Some(AboutOthers::List | AboutOthers::Decide { .. })
    )
}

/// Whether a message is a plain yes or no, which means a question of another conversation only where one was shown.
pub(super) fn is_plain_answer(principal: &Principal, message: &str) -> bool {
    matches!(read(principal, message), Some(AboutOthers::Bare { .. }))
}

fn read(principal: &Principal, message: &str) -> Option<AboutOthers> {
    if principal.role < PrincipalRole::Staff {
        return None;
    }
    others::read(message, language::detect(message).unwrap_or_default())
}

/// Takes a message in if it is about questions of other conversations; `None` when it is an ordinary one.
pub(super) async fn take(
    app: &Arc<App>,
    principal: &Principal,
    turn: &NewTurn,
) -> Result<Option<Turn>, TurnError> {
    let Some(said) = read(principal, &turn.message) else {
        return Ok(None);
    };
    let mut tx = app.begin(principal.tenant).await?;
    if let Some(known) = attach_by_key(&mut tx, principal, turn).await? {
        return Ok(Some(known));
    }
    let now = app.clock.now();
    let session = match &turn.session_id {
        Some(name) => sessions::find(&mut tx, principal.tenant, name).await?,
        None => None,
    };
    if let Some(session) = &session {
        if !session.admits(principal) {
            return Ok(None);
        }
        if let Some((run_id, after_seq)) =
            attach_by_text(&mut tx, principal.tenant, turn, session, now).await?
        {
            return Ok(Some(Turn {
                session_id: session.session_id.clone(),
                run_id,
                after_seq,
            }));
        }
    }
    let view = View::of(&mut tx, principal, session.as_ref(), now).await?;
    tx.commit().await?;
    let Some(verdict) = view.verdict(&said) else {
        return Ok(None);
    };
    let shown = language::detect(&turn.message);
    let known = shown.or_else(|| session.and_then(|s| s.language));
    let language = match known {
        Some(language) => language,
        None => shops_language(app, principal).await,
    };
    let reply = reply(app, principal, &view, verdict, language.locale()).await?;
    store(app, principal, turn, &reply, language)
        .await
        .map(Some)
}

/// What is open, seen from one conversation.
struct View {
    open: Vec<Approval>,
    /// This conversation's.
    session: Option<Uuid>,
    /// What it was shown last.
    shown: Vec<Uuid>,
    /// Nothing has been said in it since.
    just_shown: bool,
    subject: String,
    role: PrincipalRole,
}

/// What is to be done about a message.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Show what waits, after a sentence.
    Show(Why, Vec<Uuid>),
    /// Answer it.
    Answer { id: Uuid, yes: bool },
    /// Somebody else has to.
    NotYours(Uuid),
    /// It was shown, and is not open any more.
    Over,
    /// Nothing waits.
    Nothing,
}

/// Why questions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Asked,
    Which,
    DoYouMean,
    OneAtATime,
    NoneFits,
}

impl View {
    async fn of(
        conn: &mut PgConnection,
        principal: &Principal,
        session: Option<&Session>,
        now: DateTime<Utc>,
    ) -> Result<View, sqlx::Error> {
        let tenant = principal.tenant;
        let shown = session.and_then(|s| s.shown.as_ref());
        let just_shown = match (session, shown) {
            (Some(session), Some(shown)) => {
                journal::newest(conn, tenant, session.id).await? == Some(shown.run)
            }
            _ => false,
        };
        Ok(View {
            open: approvals::open(conn, tenant, now, OPEN_MAX).await?,
            session: session.map(|s| s.id),
            shown: shown.map(|s| s.approvals.clone()).unwrap_or_default(),
            just_shown,
            subject: principal.subject.clone(),
            role: principal.role,
        })
    }

    /// `None` when the message is about this conversation's own, or about something else.
    fn verdict(&self, said: &AboutOthers) -> Option<Verdict> {
        let own_open = self.open.iter().any(|a| Some(a.session) == self.session);
        match said {
            AboutOthers::List => Some(self.show(Why::Asked, &self.open.iter().collect::<Vec<_>>())),
            AboutOthers::Bare { yes } => match self.shown.as_slice() {
                [only] if self.just_shown && !own_open => Some(self.answer(*only, *yes)),
                _ => None,
            },
            AboutOthers::Decide { named, .. } if named.is_empty() && own_open => None,
            AboutOthers::Decide { yes, named } => Some(self.decide(*yes, named)),
        }
    }

    fn decide(&self, yes: bool, named: &[String]) -> Verdict {
        if let Some(place) = others::place(named, self.shown.len())
            && let Some(id) = self.shown.get(place)
        {
            return self.answer(*id, yes);
        }
        let mine: Vec<&Approval> = self.open.iter().filter(|a| self.may(a)).collect();
        if others::means_all(named) && mine.len() > 1 {
            return self.show(Why::OneAtATime, &mine);
        }
        let meant = |of: &[&Approval]| -> Vec<Approval> {
            let fits = |a: &&&Approval| {
                others::means_all(named) || others::fits(named, &a.question, &a.call.arguments)
            };
            of.iter().filter(fits).map(|a| (*a).clone()).collect()
        };
        let found = meant(&mine);
        match found.as_slice() {
            [only] if self.shown.contains(&only.id) => self.answer(only.id, yes),
            [only] => self.show(Why::DoYouMean, &[only]),
            [] => match meant(&self.open.iter().collect::<Vec<_>>()).first() {
                Some(theirs) => Verdict::NotYours(theirs.id),
                None => self.show(Why::NoneFits, &mine),
            },
            several => self.show(Why::Which, &several.iter().collect::<Vec<_>>()),
        }
    }

    fn answer(&self, id: Uuid, yes: bool) -> Verdict {
        match self.open.iter().find(|a| a.id == id) {
            Some(open) if self.may(open) => Verdict::Answer { id, yes },
            Some(_) => Verdict::NotYours(id),
            None => Verdict::Over,
        }
    }

    fn show(&self, why: Why, which: &[&Approval]) -> Verdict {
        if which.is_empty() {
            return Verdict::Nothing;
        }
        Verdict::Show(why, which.iter().take(SHOWN_MAX).map(|a| a.id).collect())
    }

    fn may(&self, approval: &Approval) -> bool {
        approvals::may_answer(&approval.question, &self.subject, self.role)
    }

    fn find(&self, id: Uuid) -> Option<&Approval> {
        self.open.iter().find(|a| a.id == id)
    }
}

/// What is said, and what it shows.
struct Reply {
    text: String,
    shows: Option<Vec<Uuid>>,
}

async fn reply(
    app: &Arc<App>,
    principal: &Principal,
    view: &View,
    verdict: Verdict,
    locale: Locale,
) -> Result<Reply, TurnError> {
    let only = |text: String| Reply { text, shows: None };
    Ok(match verdict {
        Verdict::Show(why, which) => Reply {
            text: listed(view, why, &which, locale),
            shows: Some(which),
        },
        Verdict::Nothing => only(nothing(locale).to_owned()),
        Verdict::Over => only(over(locale).to_owned()),
        Verdict::NotYours(id) => {
            let who = view.find(id).map(|a| {
                let wanted = approvals::wanted(a.question.approver, locale);
                format!("{wanted}\n{}", a.question.message)
            });
            only(who.unwrap_or_else(|| over(locale).to_owned()))
        }
        Verdict::Answer { id, yes } => only(decide(app, principal, view, id, yes, locale).await?),
    })
}

/// Answers, as by REST, and tells what came of it.
async fn decide(
    app: &Arc<App>,
    principal: &Principal,
    view: &View,
    id: Uuid,
    yes: bool,
    locale: Locale,
) -> Result<String, TurnError> {
    let decision = if yes {
        Decision::Approve
    } else {
        Decision::Deny
    };
    let asker = view.find(id).map_or("", |a| &a.question.requested_by);
    let turn = match answer_and_follow(app, principal, id, decision, None, "chat").await {
        Ok(turn) => turn,
        Err(TurnError::Expired | TurnError::Conflict(_) | TurnError::NotFound) => {
            return Ok(over(locale).to_owned());
        }
        Err(TurnError::Forbidden(_)) => {
            let wanted = view.find(id).map(|a| a.question.approver);
            return Ok(approvals::wanted(wanted.unwrap_or_default(), locale).to_owned());
        }
        Err(error) => return Err(error),
    };
    let came = tokio::time::timeout(OUTCOME, outcome(app, principal, &turn)).await;
    let result = match came {
        Ok(Ok(response)) if !response.response.is_empty() => response.response,
        _ => under_way(asker, locale),
    };
    Ok(format!("{}\n{result}", answered(yes, asker, locale)))
}

fn listed(view: &View, why: Why, which: &[Uuid], locale: Locale) -> String {
    let mut text = why_shown(why, locale).to_owned();
    let many = which.len() > 1;
    for (i, approval) in which.iter().filter_map(|id| view.find(*id)).enumerate() {
        let number = if many {
            format!("{}. ", i + 1)
        } else {
            String::new()
        };
        text.push_str(&format!("\n{number}{}", waits(view, approval, locale)));
    }
    let more = view.open.len().saturating_sub(which.len());
    if why == Why::Asked && more > 0 {
        text.push_str(&match locale {
            Locale::En => format!("\nAnd {more} more: answer these first."),
            Locale::Es => format!("\nY {more} más: responda antes a estas."),
        });
    }
    text.push('\n');
    text.push_str(how(many, locale));
    text
}

/// One question, with who asked it and, where it is somebody else's to answer, whose.
fn waits(view: &View, approval: &Approval, locale: Locale) -> String {
    let question = &approval.question;
    let asker = &question.requested_by;
    let whose = if view.may(approval) {
        String::new()
    } else {
        format!(" {}", approvals::wanted(question.approver, locale))
    };
    // The sentence's last words tell whoever asked how to answer; here there may be several.
    match locale {
        Locale::En => format!("{asker} asks: “{}”{whose}", question.message),
        Locale::Es => format!("{asker} pregunta: «{}»{whose}", question.message),
    }
}

const fn why_shown(why: Why, locale: Locale) -> &'static str {
    match (locale, why) {
        (Locale::En, Why::Asked) => "This waits for an answer:",
        (Locale::En, Why::Which) => "Which one?",
        (Locale::En, Why::DoYouMean) => "Do you mean this one?",
        (Locale::En, Why::OneAtATime) => "One at a time, please:",
        (Locale::En, Why::NoneFits) => "Nothing that waits fits that. This does wait:",
        (Locale::Es, Why::Asked) => "Esto espera una respuesta:",
        (Locale::Es, Why::Which) => "¿Cuál?",
        (Locale::Es, Why::DoYouMean) => "¿Se refiere a esta?",
        (Locale::Es, Why::OneAtATime) => "De una en una, por favor:",
        (Locale::Es, Why::NoneFits) => "Nada de lo que espera coincide. Esto sí espera:",
    }
}

const fn how(many: bool, locale: Locale) -> &'static str {
    match (locale, many) {
        (Locale::En, true) => "Say, for example, “approve 1” or “reject 2”.",
        (Locale::En, false) => "Say “approve” or “reject”.",
        (Locale::Es, true) => "Diga, por ejemplo, «aprobar 1» o «rechazar 2».",
        (Locale::Es, false) => "Diga «aprobar» o «rechazar».",
    }
}

const fn nothing(locale: Locale) -> &'static str {
    match locale {
        Locale::En => "Nothing waits for an answer.",
        Locale::Es => "Nada espera una respuesta.",
    }
}

const fn over(locale: Locale) -> &'static str {
    match locale {
        Locale::En => {
            "That one is not open any more: it was answered or has lapsed. Ask what is waiting."
        }
        Locale::Es => {
            "Esa ya no está abierta: se respondió o venció. Pregunte qué hay por aprobar."
        }
    }
}

fn answered(yes: bool, asker: &str, locale: Locale) -> String {
    match (locale, yes) {
        (Locale::En, true) => format!("Approved for {asker}."),
        (Locale::En, false) => format!("Rejected for {asker}."),
        (Locale::Es, true) => format!("Aprobado para {asker}."),
        (Locale::Es, false) => format!("Rechazado para {asker}."),
    }
}

fn under_way(asker: &str, locale: Locale) -> String {
    match locale {
        Locale::En => format!("It is being worked on; {asker} is told what comes of it."),
        Locale::Es => format!("Se está haciendo; {asker} sabrá el resultado."),
    }
}

/// Stores the message and its reply as a run that is over.
async fn store(
    app: &Arc<App>,
    principal: &Principal,
    turn: &NewTurn,
    reply: &Reply,
    language: Language,
) -> Result<Turn, TurnError> {
    let now = app.clock.now();
    let tenant = principal.tenant;
    let name = turn
        .session_id
        .clone()
        .unwrap_or_else(|| app.new_id().to_string());
    let channel = turn.channel.word();
    let mut tx = app.begin(tenant).await?;
    let session = sessions::open(&mut tx, principal, &name, app.new_id(), channel, now).await?;
    if !session.admits(principal) {
        return Err(TurnError::Forbidden(
            "This conversation belongs to somebody else.",
        ));
    }
    let mut held = held(app, principal, &session, turn, reply, language);
    let log = log(app, &held, &reply.text);
    journal::answer_at_once(&mut tx, &mut held, &log, now).await?;
    let said = Said {
        session: session.id,
        run_id: held.run_id,
        after_seq: 0,
        principal: &principal.subject,
        text: &turn.message,
        request_key: turn.request_key.as_deref(),
    };
    sessions::person_says(&mut tx, tenant, app.new_id(), &said, now)
        .await
        .map_err(key_conflict)?;
    sessions::assistant_says(
        &mut tx,
        tenant,
        app.new_id(),
        session.id,
        held.run_id,
        &reply.text,
        now,
    )
    .await?;
    if let Some(approvals) = &reply.shows {
        let shown = Shown {
            run: held.run_id,
            approvals: approvals.clone(),
        };
        sessions::set_shown(&mut tx, tenant, session.id, &shown).await?;
    }
    tx.commit().await?;
    Ok(Turn {
        session_id: session.session_id,
        run_id: held.run_id,
        after_seq: 0,
    })
}

fn held(
    app: &App,
    principal: &Principal,
    session: &Session,
    turn: &NewTurn,
    reply: &Reply,
    language: Language,
) -> Held {
    let mut machine = Machine::begin(Vec::new(), turn.message.clone(), language);
    machine.messages.push(Message::Assistant {
        text: reply.text.clone(),
        calls: Vec::new(),
        note: None,
    });
    Held {
        principal: principal.clone(),
        run_id: app.new_id(),
        session: session.id,
        session_id: session.session_id.clone(),
        message_id: app.new_id(),
        machine,
        last_seq: 0,
        last_step: 0,
        resumptions: 0,
        lease: Uuid::nil(),
        begun: Begun::default(),
        is_waited_for: false,
    }
}

/// The events of a turn that code answers.
fn log(app: &App, held: &Held, text: &str) -> [EventBody; 5] {
    let text_id = "text_reply_1".to_owned();
    [
        EventBody::Started {
            session_id: held.session_id.clone(),
            run_id: held.run_id,
            message_id: held.message_id,
            model: app.model.name().to_owned(),
        },
        EventBody::TextStarted {
            text_id: text_id.clone(),
        },
        EventBody::TextDelta {
            text_id: text_id.clone(),
            delta: text.to_owned(),
        },
        EventBody::TextFinished {
            text_id,
            discarded: false,
        },
        EventBody::Finished {
            status: ChatStatus::Success,
            usage: Usage::default(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use contracts::confirmation::{Approver, Question};
    use contracts::http::approval::ApprovalStatus;
    use serde_json::{Value, json};

    use super::*;
    use crate::approvals::AskedBy;
    use crate::models::ToolCall;

    const CHAT: Uuid = Uuid::from_u128(100);

    fn asked(id: u128, session: u128, approver: Approver, message: &str) -> Approval {
        let tool = "refund_payment".to_owned();
        Approval {
            id: Uuid::from_u128(id),
            run_id: Uuid::from_u128(id + 1000),
            session: Uuid::from_u128(session),
            call: ToolCall {
                id: "c".to_owned(),
                tool: tool.clone(),
                arguments: json!({}),
            },
            question: Question {
                id: Uuid::from_u128(id + 2000),
                tool,
                message: message.to_owned(),
                lines: Vec::new(),
                total: None,
                binding: Value::Null,
                informative: Value::Null,
                approver,
                requested_by: "ana".to_owned(),
                expires_at: DateTime::<Utc>::MAX_UTC,
            },
            asked_by: AskedBy::Agent,
            status: ApprovalStatus::Pending,
            decided: None,
        }
    }

    fn view(role: PrincipalRole, open: Vec<Approval>, shown: &[u128], just_shown: bool) -> View {
        View {
            open,
            session: Some(CHAT),
            shown: shown.iter().map(|id| Uuid::from_u128(*id)).collect(),
            just_shown,
            subject: "olga".to_owned(),
            role,
        }
    }

    fn verdict(view: &View, text: &str) -> Option<Verdict> {
        view.verdict(&others::read(text, Language::En)?)
    }

    fn answer(id: u128, yes: bool) -> Option<Verdict> {
        Some(Verdict::Answer {
            id: Uuid::from_u128(id),
            yes,
        })
    }

    fn show(why: Why, ids: &[u128]) -> Option<Verdict> {
        let ids = ids.iter().map(|id| Uuid::from_u128(*id)).collect();
        Some(Verdict::Show(why, ids))
    }

    fn two() -> Vec<Approval> {
        vec![
            asked(1, 7, Approver::Owner, "Refund RWF 200 of bill INV-12."),
            asked(2, 8, Approver::Owner, "Refund RWF 900 of bill INV-13."),
        ]
    }

    #[test]
    fn nothing_is_answered_that_was_not_shown() {
        let owner = PrincipalRole::Owner;
        let unseen = view(owner, two(), &[], false);
        assert_eq!(
            verdict(&unseen, "what is waiting?"),
            show(Why::Asked, &[1, 2])
        );
        assert_eq!(
            verdict(&unseen, "approve the refund of bill 12"),
            show(Why::DoYouMean, &[1])
        );
        assert_eq!(verdict(&unseen, "approve"), show(Why::Which, &[1, 2]));
        assert_eq!(verdict(&unseen, "approve 2"), show(Why::NoneFits, &[1, 2]));
        assert_eq!(
            verdict(&unseen, "approve all"),
            show(Why::OneAtATime, &[1, 2])
        );
        assert_eq!(verdict(&unseen, "yes"), None);

        let seen = view(owner, two(), &[2, 1], true);
        assert_eq!(
            verdict(&seen, "approve the refund of bill 12"),
            answer(1, true)
        );
        assert_eq!(verdict(&seen, "reject the first"), answer(2, false));
        assert_eq!(verdict(&seen, "approve 2"), answer(1, true));
        assert_eq!(verdict(&seen, "approve"), show(Why::Which, &[1, 2]));
        assert_eq!(verdict(&seen, "yes"), None, "several were shown");
        assert_eq!(
            verdict(&seen, "approve the refund of bill 99"),
            show(Why::NoneFits, &[1, 2])
        );
    }

    #[test]
    fn a_plain_yes_means_the_one_that_was_just_shown_and_no_other() {
        let one = |shown: &[u128], just| view(PrincipalRole::Owner, two(), shown, just);
        assert_eq!(verdict(&one(&[2], true), "yes"), answer(2, true));
        assert_eq!(verdict(&one(&[2], true), "no"), answer(2, false));
        assert_eq!(
            verdict(&one(&[2], false), "yes"),
            None,
            "something was said since"
        );
        let gone = view(PrincipalRole::Owner, two(), &[9], true);
        assert_eq!(verdict(&gone, "yes"), Some(Verdict::Over));
        // A question of this very conversation comes first.
        let mut own = two();
        own.push(asked(3, 100, Approver::Asker, "Create the bill?"));
        let own = view(PrincipalRole::Owner, own, &[2], true);
        assert_eq!(verdict(&own, "yes"), None);
        assert_eq!(verdict(&own, "approve"), None);
        assert_eq!(
            verdict(&own, "approve the refund of bill 13"),
            answer(2, true)
        );
    }

    #[test]
    fn who_may_not_answer_is_told_who_may() {
        let staff = view(PrincipalRole::Staff, two(), &[1], true);
        for text in ["yes", "approve 1", "approve the refund of bill 12"] {
            let not_yours = Some(Verdict::NotYours(Uuid::from_u128(1)));
            assert_eq!(verdict(&staff, text), not_yours, "{text}");
        }
        assert_eq!(
            verdict(
                &view(PrincipalRole::Owner, Vec::new(), &[], false),
                "approve"
            ),
            Some(Verdict::Nothing)
        );
        let text = listed(&staff, Why::Asked, &staff.shown, Locale::En);
        assert!(text.contains("approved by the owner"), "{text}");
    }
}
