//! What can be wrong with a provider: one name per fault, and how often each still strikes.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::ValueEnum;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A fault seen at real providers. Those about calls change nothing in an answer without calls, those about streams nothing in an
/// answer that is not streamed, unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum FaultKind {
    /// 429 with `Retry-After: 1`.
    RateLimited,
    /// 429 with `Retry-After` as a date, two seconds from now.
    RateLimitedDate,
    /// 429 with a page of HTML, as proxies in front of a provider answer.
    RateLimitedHtml,
    /// 429 whose error has a number as its code, as vLLM writes it.
    NumericCode,
    /// 400 whose error has a number as its code.
    NumericCodeBadRequest,
    /// 429 `insufficient_quota`: trying again is in vain.
    Quota,
    /// 401: the key is not known.
    Unauthorized,
    /// 500.
    ServerError,
    /// 503 with a `Retry-After` of one day.
    Unavailable,
    /// Accepts the request and never answers.
    Hang,
    /// Sends the headers and then nothing.
    HangAfterHeaders,
    /// Ends the connection in the middle of the answer.
    Cut,
    /// Resets the connection in the middle of the answer.
    Reset,
    /// Ends the answer properly, but without a finish reason.
    NoFinish,
    /// Ends the answer with `[DONE]` before anything was said; without streaming: no choices.
    DoneOnly,
    /// Text that is no JSON where JSON belongs.
    Garbage,
    /// Bytes that are no text.
    RandomBytes,
    /// An error object in the middle of the stream; without streaming: an error object with status 200.
    ErrorInStream,
    /// One byte every quarter of a second.
    Drip,
    /// Calls without their index.
    MissingIndex,
    /// Calls without an id.
    MissingId,
    /// Every call has the same id.
    RepeatedIds,
    /// Finish reason `eos`, a fraction in `created`, an unknown service tier, `reasoning_content`, comments: all of it harmless.
    OddFields,
    /// The arguments of calls as an object and not as text.
    ArgumentsObject,
    /// From this answer on the same calls for ever.
    EndlessCalls,
    /// Arguments that do not fit the tool's schema.
    WrongArguments,
    /// Arguments that are cut off JSON.
    NotJsonArguments,
    /// Calls of a tool nobody offered.
    UnknownTool,
    /// A whole answer as JSON although a stream was asked for.
    JsonInsteadOfStream,
    /// A stream although none was asked for.
    StreamInsteadOfJson,
}

impl FaultKind {
    /// Every fault.
    #[must_use]
    pub fn all() -> &'static [FaultKind] {
        FaultKind::value_variants()
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every kind has a name: none is skipped in the derive.
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", |name| name.get_name()))
    }
}

/// A fault to be had: always, or the first few times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// How many answers it spoils; all of them when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU32>,
}

impl Fault {
    /// A fault that never ends.
    #[must_use]
    pub const fn always(kind: FaultKind) -> Fault {
        Fault { kind, times: None }
    }

    /// A fault that strikes once.
    #[must_use]
    pub const fn once(kind: FaultKind) -> Fault {
        Fault {
            kind,
            times: Some(NonZeroU32::MIN),
        }
    }
}

/// Why a text names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFault {
    /// No such name.
    #[error("there is no fault {0:?}; there are {names}", names = names())]
    Name(String),
    /// Not a count.
    #[error("{0:?} is not how often a fault strikes: write 1 or more after the =")]
    Times(String),
    /// A fault that goes on for ever cannot be counted.
    #[error("endless_calls goes on for ever and cannot be counted: leave the number out")]
    Endless,
}

fn names() -> String {
    let names: Vec<String> = FaultKind::all().iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Reads `rate_limited` (always) or `rate_limited=2` (twice).
impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Fault, BadFault> {
        let (name, times) = match text.split_once('=') {
            Some((name, times)) => (name, Some(times)),
            None => (text, None),
        };
        let kind = FaultKind::from_str(name, false).map_err(|_| BadFault::Name(name.to_owned()))?;
        let times = times
            .map(|t| t.parse().map_err(|_| BadFault::Times(t.to_owned())))
            .transpose()?;
        Fault { kind, times }.checked()
    }
}

impl Fault {
    fn checked(self) -> Result<Fault, BadFault> {
        if self.kind == FaultKind::EndlessCalls && self.times.is_some() {
            return Err(BadFault::Endless);
        }
        Ok(self)
    }
}

/// Reads `"cut"` or `{"kind": "cut", "times": 2}`.
impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fault, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Counted {
            kind: FaultKind,
            times: Option<NonZeroU32>,
        }
        struct NameOrCounted;
        impl<'de> Visitor<'de> for NameOrCounted {
            type Value = Fault;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a fault, or an object with kind and times")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Fault, E> {
                FaultKind::deserialize(StrDeserializer::new(name)).map(Fault::always)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fault, A::Error> {
                let Counted { kind, times } =
                    Counted::deserialize(MapAccessDeserializer::new(map))?;
                Fault { kind, times }.checked().map_err(Error::custom)
            }
        }
        deserializer.deserialize_any(NameOrCounted)
    }
}

/// A fault with the count of what it still spoils.
#[derive(Debug)]
pub(super) struct Trouble {
    kind: FaultKind,
    left: Option<AtomicU32>,
}

impl Trouble {
    /// Nothing spoilt yet.
    pub(super) fn new(fault: Fault) -> Trouble {
        Trouble {
            kind: fault.kind,
            left: fault.times.map(|times| AtomicU32::new(times.get())),
        }
    }

    /// The fault, if it strikes now; counted.
    pub(super) fn strike(&self) -> Option<FaultKind> {
        let strikes = match &self.left {
            None => true,
            Some(left) => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok(),
        };
        strikes.then_some(self.kind)
    }

    /// Whether it makes calls endless: that is a matter of every later answer too.
    pub(super) fn is_endless(&self) -> bool {
        self.kind == FaultKind::EndlessCalls
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn faults_are_named_alike_on_the_command_line_and_in_scripts() {
        for kind in FaultKind::all() {
            let name = kind.to_string();
            assert_eq!(json!(kind), json!(name));
            assert_eq!(name.parse(), Ok(Fault::always(*kind)));
            let read: Fault = serde_json::from_value(json!(name)).unwrap();
            assert_eq!(read, Fault::always(*kind));
        }
        let twice = Fault {
            kind: FaultKind::Cut,
            times: NonZeroU32::new(2),
        };
        assert_eq!("cut=2".parse(), Ok(twice));
        let read: Fault = serde_json::from_value(json!({"kind": "cut", "times": 2})).unwrap();
        assert_eq!(read, twice);
        assert_eq!(json!(twice), json!({"kind": "cut", "times": 2}));
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_is_one() {
        let refused = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert!(refused("slow").contains("there is no fault \"slow\""));
        assert!(refused("slow").contains("rate_limited_html"));
        assert!(refused("cut=0").contains("\"0\""));
        assert!(refused("cut=").contains("1 or more"));
        assert!(refused("endless_calls=3").contains("cannot be counted"));
        let refused = |value: Value| {
            serde_json::from_value::<Fault>(value)
                .unwrap_err()
                .to_string()
        };
        assert!(refused(json!("slow")).contains("unknown variant `slow`"));
        assert!(refused(json!({"kind": "cut", "time": 1})).contains("unknown field `time`"));
        assert!(refused(json!({"kind": "cut", "times": 0})).contains("zero"));
        assert!(refused(json!({"kind": "endless_calls", "times": 1})).contains("for ever"));
        assert!(refused(json!(7)).contains("the name of a fault"));
    }

    #[test]
    fn a_counted_fault_strikes_so_often_and_no_more() {
        let trouble = Trouble::new("cut=2".parse().unwrap());
        let strikes: Vec<bool> = (0..4).map(|_| trouble.strike().is_some()).collect();
        assert_eq!(strikes, [true, true, false, false]);
        let trouble = Trouble::new(Fault::always(FaultKind::Cut));
        assert!((0..100).all(|_| trouble.strike() == Some(FaultKind::Cut)));
    }
}
