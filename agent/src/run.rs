//! What happens to one piece of work, in seven steps.
//!
//! 1. **Accept** ([`crate::turns`]): the message, its run and the run's first event are stored in one commit. From here on nothing is
//!    lost.
//! 2. **Lease** ([`worker`]): one worker holds the run for a few seconds at a time; any worker goes on with it when the lease lapses.
//! 3. **Next** ([`machine`]): the pure machine says what comes next: call the model, call tools, wait for a person, done.
//! 4. **Model** ([`steps`]): the model answers with words or calls; its answer is journaled before any of its calls is made ([`journal`]).
//! 5. **Tools** ([`calls`]): each call is made under a key that is the same for every attempt, so that making it again after a crash is safe; a call
//!    that needs a countersignature comes back as a question.
//! 6. **Wait**: the question is stored before it is shown; the run is nobody's until a person answers or the question lapses
//!    ([`waiting`]). An answer on a page of the tool server is noticed there ([`elsewhere`]).
//! 7. **Done**: the reply, the transcript, the session's window and the last event are stored in one commit.
//!
//! Every stream is a projection of the run's events ([`events`]); who follows a run in the process that works on it gets them from
//! memory ([`hub`]).

pub mod arguments;
mod calls;
pub mod elsewhere;
pub mod events;
pub mod hub;
pub(crate) mod journal;
pub mod limits;
pub mod machine;
mod steps;
mod stopped;
pub(crate) mod waiting;
pub mod worker;
