//! Following a turn: its outcome as one answer, or its events as they come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use contracts::http::chat::ChatResponse;
use contracts::http::event::{EventBody, RunEvent};
use contracts::ids::TenantId;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use sqlx::PgConnection;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Turn, TurnError, run_head, session_of, summary};
use crate::app::App;
use crate::approvals::{self, Approval};
use crate::principal::Principal;
use crate::run::events::{self, POLL, TRUST};
use crate::run::hub::{Live, Progress};
use crate::sessions;

/// How much longer than a run's own deadline somebody waits for its outcome.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until the turn is over (or its deadline passes) and sums it up. A turn that was worked on here from the beginning is summed up
/// without asking the database anything.
///
/// # Errors
/// [`TurnError::Unavailable`] when the tool server or Postgres could not be reached, [`TurnError::NotFound`].
pub async fn outcome(
    app: &Arc<App>,
    principal: &Principal,
    turn: &Turn,
) -> Result<ChatResponse, TurnError> {
    let (live, mut woken) = app.hub.subscribe(turn.run_id);
    let deadline = tokio::time::Instant::now() + app.settings.run_deadline + PATIENCE;
    loop {
        let now = *woken.borrow_and_update();
        if now.ours && !now.ended {
            // Reading before this process has finished the turn would be too early.
            let patience = if live.has_all() { TRUST } else { POLL };
            wake(&mut woken, patience, |p| p.ended || !p.ours).await;
        }
        if let Some((response, quiet)) = live.whole(|events| known_outcome(turn, events)) {
            let quiet = live.was_quiet() && quiet;
            return if quiet {
                response
            } else {
                let mut tx = app.begin(principal.tenant).await?;
                with_open_questions(&mut tx, app, principal, response?).await
            };
        }
        let mut tx = app.begin(principal.tenant).await?;
        let events = events::read(&mut tx, principal.tenant, turn.run_id, 0).await?;
        if events.is_empty() {
            return Err(TurnError::NotFound);
        }
        if let Some(until) = summary::end_of_turn(&events, turn.after_seq) {
            let response = summary::sum_up(turn, &events[..until])?;
            return with_open_questions(&mut tx, app, principal, response).await;
        }
        drop(tx);
        if tokio::time::Instant::now() >= deadline {
            return Err(TurnError::Unavailable(
                "the run did not end in time".to_owned(),
            ));
        }
        if !woken.borrow().ours {
            wake(&mut woken, POLL, |p| p.ended || p.ours).await;
        }
    }
}

/// A turn's outcome by the events this process has, if it is over, and whether it asked nobody anything.
fn known_outcome(
    turn: &Turn,
    events: &[RunEvent],
) -> Option<(Result<ChatResponse, TurnError>, bool)> {
    let until = summary::end_of_turn(events, turn.after_seq)?;
    let events = &events[..until];
    let asks = |e: &RunEvent| matches!(e.body, EventBody::Question { .. });
    Some((summary::sum_up(turn, events), !events.iter().any(asks)))
}

/// Questions of the session that stand open are part of every answer.
async fn with_open_questions(
    conn: &mut PgConnection,
    app: &App,
    principal: &Principal,
    mut response: ChatResponse,
) -> Result<ChatResponse, TurnError> {
    let now = app.clock.now();
    if let Some(session) = sessions::find(conn, principal.tenant, &response.session_id).await? {
        let open = approvals::pending(conn, principal.tenant, session.id).await?;
        response.confirmations = open
            .iter()
            .filter(|a| a.question.expires_at > now)
            .map(Approval::view)
            .collect();
    }
    Ok(response)
}

/// Waits for a wake-up of the wanted kind, at most so long. `false` when none came.
async fn wake(
    woken: &mut watch::Receiver<Progress>,
    patience: Duration,
    wanted: impl Fn(&Progress) -> bool,
) -> bool {
    let changed = async {
        while woken.changed().await.is_ok() {
            if wanted(&woken.borrow_and_update()) {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::time::timeout(patience, changed).await.is_ok()
}

/// The run's events after `after_seq`, stored ones first, then as they come, until the turn they belong to is over. Works for a run that
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
    let (live, woken) = app.hub.subscribe(run_id);
    if !live.admits(principal) {
        session_of(app, principal, run_id).await?;
    }
    let state = Following {
        app: Arc::clone(app),
        tenant: principal.tenant,
        run_id,
        seq: after_seq,
        live,
        woken,
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
    live: Arc<Live>,
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
            match self.live.after(self.seq) {
                Some(events) if !events.is_empty() => self.ready.extend(events),
                // Nothing is missing, and this process works on it.
                Some(_) if self.is_coming() && self.wait(TRUST).await => {}
                Some(_) | None => {
                    if !self.look().await {
                        return None;
                    }
                }
            }
        }
    }

    fn is_coming(&self) -> bool {
        let progress = self.woken.borrow();
        progress.ours && !progress.ended
    }

    /// Waits until there is more, at most so long.
    async fn wait(&mut self, patience: Duration) -> bool {
        let (seq, stop) = (self.seq, self.app.stop.clone());
        tokio::select! {
            woken = wake(&mut self.woken, patience, |p| p.seq > seq || !p.ours) => woken,
            () = stop.cancelled() => true,
        }
    }

    /// Reads the table, and waits a little if it has nothing new. `false` when nothing more will come.
    async fn look(&mut self) -> bool {
        match self.read().await {
            Ok(events) if events.is_empty() => {
                if !self.active().await {
                    return false;
                }
                self.pause().await;
            }
            Ok(events) => self.ready.extend(events),
            // The table cannot be read just now; the client reconnects if we give up, so wait a little.
            Err(_) => tokio::time::sleep(POLL).await,
        }
        true
    }

    /// Until it is time to read the table again, or this process has more.
    async fn pause(&mut self) {
        let (seq, stop) = (self.seq, self.app.stop.clone());
        tokio::select! {
            _ = wake(&mut self.woken, POLL, |p| p.seq > seq) => {}
            () = stop.cancelled() => {}
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
