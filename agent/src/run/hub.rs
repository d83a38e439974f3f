//! What this process knows of the runs it works on: the events it has stored, for those who follow them here, and a wake-up when there
//! are more. A hint and a cache, never data: whoever finds nothing here, or follows a run another process works on, reads the table.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use contracts::http::event::{EventBody, RunEvent};
use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::principal::Principal;

/// Events kept per run; older ones are in the table.
const EVENTS_MAX: usize = 256;
/// Roughly how many bytes of events are kept per run.
const BYTES_MAX: usize = 256 * 1024;
/// Runs kept after their turn has ended, for the request that is just about to ask.
const ENDED_MAX: usize = 64;
/// Roughly how many bytes they may have together.
const ENDED_BYTES_MAX: usize = 1024 * 1024;
/// Entries nobody holds any more are dropped when there are this many.
const RUNS_MAX: usize = 1024;

/// How far a run has come in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last event written.
    pub seq: i64,
    /// That event ended the turn.
    pub ended: bool,
    /// This process works on it, so a wake-up will come.
    pub ours: bool,
}

/// How a run was begun or taken, for those who follow it in this process.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// The events stored with it, the run's last ones.
    pub(crate) events: Vec<RunEvent>,
    /// Whose conversation it is, where that is known.
    pub(crate) owner: Option<(TenantId, String)>,
    /// No question of the conversation was open.
    pub(crate) quiet: bool,
}

/// The runs that are worked on or followed in this process.
#[derive(Debug, Default)]
pub struct Hub(Mutex<Runs>);

#[derive(Debug, Default)]
struct Runs {
    /// Held by the worker, by followers, and for a while by `ended`.
    all: HashMap<Uuid, Weak<Live>>,
    /// With the bytes each had when it ended.
    ended: VecDeque<(Arc<Live>, usize)>,
    ended_bytes: usize,
}

/// One run.
#[derive(Debug, Default)]
pub(crate) struct Live {
    progress: watch::Sender<Progress>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    begun: Begun,
    bytes: usize,
}

impl Hub {
    /// This process works on the run. Keep what it returns for as long as it does.
    pub(crate) fn begin(&self, run_id: Uuid, seq: i64, begun: Begun) -> Arc<Live> {
        let live = self.run(run_id);
        live.begin(begun);
        live.progress.send_replace(Progress {
            seq,
            ended: false,
            ours: true,
        });
        live
    }

    /// The run has come further, by these events, which are stored.
    pub(crate) fn publish(&self, run_id: Uuid, events: Vec<RunEvent>) {
        let Some(last) = events.last() else {
            return;
        };
        let progress = Progress {
            seq: last.seq,
            ended: last.body.ends_turn(),
            ours: true,
        };
        let live = self.run(run_id);
        let bytes = live.add(events);
        if progress.ended {
            self.keep_ended(Arc::clone(&live), bytes);
        }
        live.progress.send_replace(progress);
    }

    /// This process does not work on the run any more; others may.
    pub(crate) fn leave(&self, run_id: Uuid) {
        let live = self.run(run_id);
        live.progress
            .send_if_modified(|progress| std::mem::take(&mut progress.ours));
    }

    /// For following a run. Subscribe before reading the table, so that nothing falls between.
    pub(crate) fn subscribe(&self, run_id: Uuid) -> (Arc<Live>, watch::Receiver<Progress>) {
        let live = self.run(run_id);
        let woken = live.progress.subscribe();
        (live, woken)
    }

    fn run(&self, run_id: Uuid) -> Arc<Live> {
        let mut runs = lock(&self.0);
        if let Some(live) = runs.all.get(&run_id).and_then(Weak::upgrade) {
            return live;
        }
        if runs.all.len() >= RUNS_MAX {
            runs.all.retain(|_, live| live.strong_count() > 0);
        }
        let live = Arc::new(Live::default());
        runs.all.insert(run_id, Arc::downgrade(&live));
        live
    }

    fn keep_ended(&self, live: Arc<Live>, bytes: usize) {
        let mut runs = lock(&self.0);
        runs.ended.push_back((live, bytes));
        runs.ended_bytes += bytes;
        while runs.ended.len() > ENDED_MAX || runs.ended_bytes > ENDED_BYTES_MAX {
            let Some((_, bytes)) = runs.ended.pop_front() else {
                break;
            };
            runs.ended_bytes -= bytes;
        }
    }
}

impl Live {
    /// The events after `seq`, oldest first, if all of them are here.
    pub(crate) fn after(&self, seq: i64) -> Option<Vec<RunEvent>> {
        let kept = lock(&self.kept);
        let events = &kept.begun.events;
        let (first, last) = (events.first()?.seq, events.last()?.seq);
        if first > seq + 1 || seq > last {
            return None;
        }
        let skip = usize::try_from(seq + 1 - first).ok()?;
        events.get(skip..).map(<[RunEvent]>::to_vec)
    }

    /// Looks at the run's events from its first one on, if all of them are here.
    pub(crate) fn whole<T>(&self, look: impl FnOnce(&[RunEvent]) -> Option<T>) -> Option<T> {
        let kept = lock(&self.kept);
        kept.has_all().then(|| look(&kept.begun.events)).flatten()
    }

    /// Whether the run's events are here from its first one on.
    pub(crate) fn has_all(&self) -> bool {
        lock(&self.kept).has_all()
    }

    /// Whether it is known here that the principal may see the run. `false` says nothing.
    pub(crate) fn admits(&self, principal: &Principal) -> bool {
        let kept = lock(&self.kept);
        kept.begun.owner.as_ref().is_some_and(|(tenant, subject)| {
            *tenant == principal.tenant
                && (*subject == principal.subject || principal.role >= PrincipalRole::Staff)
        })
    }

    /// Whether no question was open when the run was begun. True once, for the request that began it: later ones look for themselves.
    pub(crate) fn was_quiet(&self) -> bool {
        std::mem::take(&mut lock(&self.kept).begun.quiet)
    }

    fn begin(&self, begun: Begun) {
        let mut kept = lock(&self.kept);
        let owner = begun.owner.or_else(|| kept.begun.owner.take());
        let last = kept.begun.events.last().map(|e| e.seq);
        let follows = begun
            .events
            .first()
            .is_some_and(|e| Some(e.seq - 1) == last);
        if !follows {
            kept.begun.events.clear();
            kept.bytes = 0;
        }
        kept.begun.owner = owner;
        kept.begun.quiet = begun.quiet;
        kept.add(begun.events);
    }

    /// Roughly how many bytes are kept now.
    fn add(&self, events: Vec<RunEvent>) -> usize {
        let mut kept = lock(&self.kept);
        kept.add(events);
        kept.bytes
    }
}

impl Kept {
    fn has_all(&self) -> bool {
        self.begun.events.first().is_some_and(|e| e.seq == 1)
    }

    fn add(&mut self, events: Vec<RunEvent>) {
        let begins = events.first().map_or(0, |e| e.seq);
        if self
            .begun
            .events
            .last()
            .is_some_and(|e| e.seq + 1 != begins)
        {
            self.begun.events.clear();
            self.bytes = 0;
        }
        self.bytes += events.iter().map(|e| weight(&e.body)).sum::<usize>();
        self.begun.events.extend(events);
        let mut drop = self.begun.events.len().saturating_sub(EVENTS_MAX);
        let mut bytes = self.bytes;
        for (i, event) in self.begun.events.iter().enumerate() {
            if i >= drop && bytes <= BYTES_MAX {
                break;
            }
            bytes -= weight(&event.body).min(bytes);
            drop = drop.max(i + 1);
        }
        self.begun.events.drain(..drop);
        self.bytes = bytes;
    }
}

/// Roughly how many bytes an event takes.
fn weight(body: &EventBody) -> usize {
    let more = match body {
        EventBody::ToolReturned { result, .. } => value_weight(result),
        EventBody::ToolCalled { arguments, .. } => value_weight(arguments),
        EventBody::Question { confirmation, .. } | EventBody::Answered { confirmation, .. } => {
            value_weight(&confirmation.preview)
        }
        EventBody::TextDelta { delta, .. } => delta.len(),
        _ => 0,
    };
    size_of::<RunEvent>() + more
}

fn value_weight(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(all) => all.iter().map(value_weight).sum(),
        Value::Object(all) => all
            .iter()
            .map(|(name, value)| name.len() + value_weight(value))
            .sum(),
    };
    size_of::<Value>() + inner
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use contracts::http::chat::Usage;

    use super::*;

    fn delta(seq: i64, bytes: usize) -> RunEvent {
        RunEvent {
            seq,
            at: DateTime::UNIX_EPOCH,
            body: EventBody::TextDelta {
                text_id: "t".to_owned(),
                delta: "x".repeat(bytes),
            },
        }
    }

    fn end(seq: i64) -> RunEvent {
        RunEvent {
            body: EventBody::Waiting {
                usage: Usage::default(),
            },
            ..delta(seq, 0)
        }
    }

    fn begun(events: Vec<RunEvent>) -> Begun {
        Begun {
            events,
            ..Begun::default()
        }
    }

    fn seqs(events: Option<Vec<RunEvent>>) -> Option<Vec<i64>> {
        events.map(|all| all.iter().map(|e| e.seq).collect())
    }

    #[test]
    fn a_follower_gets_what_it_misses_or_learns_that_it_must_read() {
        let hub = Hub::default();
        let run = Uuid::from_u128(1);
        let worker = hub.begin(run, 1, begun(vec![delta(1, 1)]));
        let (live, mut woken) = hub.subscribe(run);
        woken.mark_unchanged();
        hub.publish(run, vec![delta(2, 1), end(3)]);
        assert!(woken.has_changed().unwrap());
        assert_eq!(seqs(live.after(0)), Some(vec![1, 2, 3]));
        assert_eq!(seqs(live.after(2)), Some(vec![3]));
        assert_eq!(seqs(live.after(3)), Some(vec![]));
        assert_eq!(seqs(live.after(4)), None, "another process wrote more");
        assert!(live.whole(|all| Some(all.len() == 3)).unwrap());
        drop((worker, live, woken));
        // Just ended, so it is still here for a request that asks late.
        assert_eq!(seqs(hub.subscribe(run).0.after(0)), Some(vec![1, 2, 3]));

        // Resumed after an answer that another process stored: what is between is not known here.
        let live = hub.begin(run, 6, begun(vec![delta(6, 1)]));
        assert_eq!(seqs(live.after(3)), None);
        assert_eq!(seqs(live.after(5)), Some(vec![6]));
        assert!(live.whole(|_| Some(())).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let hub = Hub::default();
        let run = Uuid::from_u128(1);
        let live = hub.begin(run, 0, Begun::default());
        for seq in 1..=1000 {
            hub.publish(run, vec![delta(seq, 1)]);
        }
        assert_eq!(seqs(live.after(999)), Some(vec![1000]));
        assert_eq!(seqs(live.after(1000 - 300)), None);
        hub.publish(
            run,
            vec![delta(1001, BYTES_MAX / 2), delta(1002, BYTES_MAX)],
        );
        assert!(lock(&live.kept).bytes <= BYTES_MAX);

        for n in 0..5000 {
            let run = Uuid::from_u128(n);
            hub.publish(run, vec![delta(1, 40_000), end(2)]);
        }
        let runs = lock(&hub.0);
        assert!(runs.ended.len() <= ENDED_MAX && runs.ended_bytes <= ENDED_BYTES_MAX);
        assert!(runs.all.len() <= RUNS_MAX + 1);
    }

    #[test]
    fn only_the_conversations_person_and_staff_are_let_in() {
        let hub = Hub::default();
        let who = |subject: &str, role| Principal {
            tenant: TenantId(Uuid::from_u128(5)),
            subject: subject.to_owned(),
            role,
            ..Principal::local_owner()
        };
        let ana = who("ana", PrincipalRole::Customer);
        let owner = Some((ana.tenant, ana.subject.clone()));
        let begun = Begun {
            owner,
            ..Begun::default()
        };
        let live = hub.begin(Uuid::nil(), 0, begun);
        assert!(live.admits(&ana) && live.admits(&who("bo", PrincipalRole::Staff)));
        assert!(!live.admits(&who("bo", PrincipalRole::Customer)));
        let elsewhere = Principal {
            tenant: TenantId(Uuid::from_u128(6)),
            ..who("ana", PrincipalRole::Owner)
        };
        assert!(!live.admits(&elsewhere));
    }
}
