//! Who answers when a language model cannot: the next provider of the list, and at last the interpreter, which always can.
//!
//! A provider that has failed rests, so that a run of several steps does not wait for the same dead provider at each of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;
use tokio::time::Instant;

use super::interpreter::{self, Interpreter};
use super::openai::Provider;
use super::{Answering, Model, ModelAnswer, ModelError, ModelRequest, TextSink, ToolCall};
use crate::config::ModelManner;
use crate::language::Language;

/// How long a provider rests at most; each failure in a row doubles the rest.
const REST_MAX: Duration = Duration::from_secs(300);

/// Providers in the order in which they are asked, then the interpreter.
pub struct Fallback {
    providers: Vec<(Provider, Rest)>,
    timeout: Duration,
}

impl Fallback {
    /// The providers in the order in which they are asked, and how: one answer has the manner's time, whoever gives it.
    #[must_use]
    pub fn new(providers: Vec<Provider>, manner: &ModelManner) -> Fallback {
        let providers = providers.into_iter().map(|p| (p, Rest::new(manner.rest)));
        Fallback {
            providers: providers.collect(),
            timeout: manner.timeout,
        }
    }

    /// Asks the providers that do not rest. None when none of them can answer.
    async fn ask(&self, request: &ModelRequest, sink: &mut dyn TextSink) -> Option<ModelAnswer> {
        let begun = Instant::now();
        let until = begun + self.timeout;
        let mut left = self.awake(begun).count();
        for (provider, rest) in &self.providers {
            let now = Instant::now();
            if now >= until || !rest.admits(now, self.timeout) {
                continue;
            }
            // Whoever comes later gets an equal share of what is left of the time.
            let share = (until - now) / u32::try_from(left.max(1)).unwrap_or(u32::MAX);
            left = left.saturating_sub(1);
            match provider.ask(request, sink, now + share).await {
                Ok(answer) => {
                    rest.answered();
                    return Some(answer);
                }
                Err(error) => failed(provider, rest, &error),
            }
        }
        None
    }

    fn awake(&self, now: Instant) -> impl Iterator<Item = &(Provider, Rest)> {
        self.providers
            .iter()
            .filter(move |(_, rest)| rest.is_awake(now))
    }
}

fn failed(provider: &Provider, rest: &Rest, error: &ModelError) {
    let (model, base_url) = (provider.model(), provider.base_url());
    match error {
        // What one conversation cannot get is no reason to keep the model from the others.
        ModelError::Refused(cause) => {
            rest.released();
            tracing::error!(
                model,
                base_url,
                cause,
                "the model refused a conversation; if it refuses all of them, check its name and MODEL_TEMPERATURE, MODEL_MAX_TOKENS"
            );
        }
        ModelError::Unusable(cause) => {
            let rest_s = rest.failed(Instant::now()).as_secs();
            tracing::error!(
                model,
                base_url,
                cause,
                rest_s,
                "the model cannot be used: check OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL (or MODEL_FALLBACK_…) and the account's quota"
            );
        }
        ModelError::Unavailable(cause) => {
            let rest_s = rest.failed(Instant::now()).as_secs();
            tracing::warn!(
                model,
                base_url,
                cause,
                rest_s,
                "the model gave no answer and rests"
            );
        }
    }
}

impl Model for Fallback {
    fn name(&self) -> &str {
        let first = self.providers.first();
        first.map_or(interpreter::NAME, |(provider, _)| provider.model())
    }

    fn answer<'a>(
        &'a self,
        request: &'a ModelRequest,
        sink: &'a mut dyn TextSink,
    ) -> Answering<'a> {
        Box::pin(async move {
            if let Some(answer) = self.ask(request, sink).await {
                return Ok(answer);
            }
            sink.fell_back(reason(request.language));
            Interpreter.answer(request, sink).await
        })
    }

    fn can_change(
        &self,
        call: &ToolCall,
        text: &str,
        language: Language,
        today: NaiveDate,
    ) -> bool {
        // A language model can make something of any change; while all of them rest, the rules will have to.
        self.awake(Instant::now()).next().is_some()
            || Interpreter.can_change(call, text, language, today)
    }
}

/// Why rules answer, for the person.
const fn reason(language: Language) -> &'static str {
    match language {
        Language::En => {
            "The language model cannot be reached just now, so I answer with built-in rules."
        }
        Language::Es => {
            "Ahora mismo no se puede usar el modelo de lenguaje, así que respondo con reglas fijas."
        }
        Language::Fr => {
            "Le modèle de langage est injoignable pour le moment, je réponds donc avec des règles intégrées."
        }
        Language::Sw => {
            "Modeli ya lugha haipatikani kwa sasa, kwa hiyo ninajibu kwa kanuni zilizowekwa."
        }
        Language::Rw => {
            "Moderi y'ururimi ntiboneka ubu, bityo ndasubiza nkoresheje amategeko yashyizweho."
        }
        Language::Pt => {
            "O modelo de linguagem não está disponível agora, por isso respondo com regras fixas."
        }
    }
}

/// Whether a provider rests after a failure, and for how long.
#[derive(Debug)]
struct Rest {
    /// The rest after a failure that follows an answer.
    first: Duration,
    state: Mutex<Resting>,
}

#[derive(Debug, Default)]
struct Resting {
    /// How long the last rest was; none while all is well.
    last: Option<Duration>,
    until: Option<Instant>,
    /// One request sees whether it is well again; the others wait for it, but not for ever.
    probe_until: Option<Instant>,
}

impl Rest {
    fn new(first: Duration) -> Rest {
        Rest {
            first,
            state: Mutex::default(),
        }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Resting) -> T) -> T {
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_awake(&self, now: Instant) -> bool {
        self.with(|r| {
            let passed = |until: Option<Instant>| until.is_none_or(|u| now >= u);
            passed(r.until) && passed(r.probe_until)
        })
    }

    /// Whether it may be asked now. After a rest one request is let through to see, for as long as an answer may take.
    fn admits(&self, now: Instant, answer_max: Duration) -> bool {
        let awake = self.is_awake(now);
        if awake {
            self.with(|r| r.probe_until = r.last.map(|_| now + answer_max));
        }
        awake
    }

    fn answered(&self) {
        self.with(|r| *r = Resting::default());
    }

    /// It answered, though not this request: whoever comes next may try.
    fn released(&self) {
        self.with(|r| r.probe_until = None);
    }

    /// Rests, and returns for how long. Requests that were under way together fail together, and count once.
    fn failed(&self, now: Instant) -> Duration {
        self.with(|r| {
            if let Some(until) = r.until.filter(|u| now < *u) {
                return until - now;
            }
            let rest = r.last.map_or(self.first, |last| (last * 2).min(REST_MAX));
            *r = Resting {
                last: Some(rest),
                until: Some(now + rest),
                probe_until: None,
            };
            rest
        })
    }
}

#[cfg(test)]
mod tests {
    use contracts::failure::{FailureCode, ToolFailure};
    use serde_json::json;

    use super::*;
    use crate::models::openai::testing::{Reply, Screen, Stub, asks, delta, manner, sse};
    use crate::models::{Message, ToolOutcome};

    const ANSWER_MAX: Duration = Duration::from_secs(60);
    const REST_FIRST: Duration = Duration::from_secs(15);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_provider_that_fails_rests_longer_each_time_and_is_probed_by_one() {
        let rest = Rest::new(REST_FIRST);
        let mut now = Instant::now();
        for expected in [15, 30, 60, 120, 240, 300, 300] {
            assert!(rest.admits(now, ANSWER_MAX));
            assert_eq!(rest.failed(now).as_secs(), expected);
            assert!(!rest.admits(now, ANSWER_MAX));
            now += Duration::from_secs(expected) - SECOND;
            assert!(!rest.admits(now, ANSWER_MAX));
            now += SECOND;
        }
        assert!(rest.admits(now, ANSWER_MAX), "one looks");
        assert!(!rest.admits(now, ANSWER_MAX), "the others do not");
        assert!(
            rest.admits(now + ANSWER_MAX, ANSWER_MAX),
            "who looked never came back"
        );
        rest.answered();
        assert!(rest.admits(now, ANSWER_MAX) && rest.admits(now, ANSWER_MAX));
        assert_eq!(rest.failed(now).as_secs(), 15, "all was well in between");
    }

    #[test]
    fn what_fails_together_counts_once() {
        let rest = Rest::new(REST_FIRST);
        let now = Instant::now();
        for _ in 0..10 {
            rest.failed(now);
        }
        assert!(rest.admits(now + REST_FIRST, ANSWER_MAX));
    }

    fn fallback(stubs: &[&Stub], manner: &ModelManner) -> Fallback {
        let providers = stubs.iter().map(|s| s.provider(manner)).collect();
        Fallback::new(providers, manner)
    }

    fn quick() -> ModelManner {
        ModelManner {
            retries: 0,
            ..manner()
        }
    }

    /// Asks, and makes the answer part of the conversation.
    async fn turn(model: &Fallback, request: &mut ModelRequest) -> (ModelAnswer, Screen) {
        let mut screen = Screen::default();
        let answer = model.answer(request, &mut screen).await.unwrap();
        request.messages.push(Message::Assistant {
            text: answer.text.clone(),
            calls: answer.calls.clone(),
            note: answer.note.clone(),
        });
        (answer, screen)
    }

    fn returned(request: &mut ModelRequest, outcome: ToolOutcome) {
        let Some(Message::Assistant { calls, .. }) = request.messages.last() else {
            panic!("no call was made");
        };
        let (call_id, tool) = (calls[0].id.clone(), calls[0].tool.clone());
        request.messages.push(Message::Tool {
            call_id,
            tool,
            outcome,
        });
    }

    fn sugar() -> ToolOutcome {
        let result = json!({
            "summary": "Sugar: 20 kg in stock at RWF 160 per kg.",
            "item": {"name": "Sugar", "version": 3},
        });
        ToolOutcome::Done { result }
    }

    #[tokio::test]
    async fn the_next_provider_answers_and_then_the_rules_and_the_dead_are_left_in_peace() {
        let dead = Stub::replies(&[Reply::new(500, "down")]);
        let fair = Stub::replies(&[Reply::says("Hello."), Reply::new(401, "no key")]);
        let model = fallback(&[&dead, &fair], &quick());
        assert_eq!(model.name(), "test-model");
        let mut request = asks("How much sugar is left?");
        let (answer, screen) = turn(&model, &mut request).await;
        assert_eq!(answer.text, "Hello.");
        assert!(screen.fell_back.is_empty());

        let mut request = asks("How much sugar is left?");
        let (answer, screen) = turn(&model, &mut request).await;
        assert_eq!(answer.model, "interpreter");
        assert_eq!(answer.calls[0].tool, "inventory_get_item");
        assert_eq!(screen.fell_back, [reason(Language::En)]);
        assert_eq!(
            (dead.seen().len(), fair.seen().len()),
            (1, 2),
            "one rested in the second turn"
        );

        returned(&mut request, sugar());
        turn(&model, &mut request).await;
        assert_eq!((dead.seen().len(), fair.seen().len()), (1, 2), "both rest");
        let call = ToolCall {
            id: "1".to_owned(),
            tool: "billing_create_bill".to_owned(),
            arguments: json!({"lines": [{"item": "sugar", "quantity": "2"}]}),
        };
        let day = request.now.date_naive();
        assert!(!model.can_change(&call, "make it 2 unicorns", Language::En, day));
    }

    #[tokio::test]
    async fn a_refused_conversation_goes_to_the_rules_and_the_next_one_to_the_model() {
        let stub = Stub::replies(&[Reply::new(400, "too long"), Reply::says("Hello.")]);
        let model = fallback(&[&stub], &quick());
        let (answer, _) = turn(&model, &mut asks("list items")).await;
        assert_eq!(answer.model, "interpreter");
        let (answer, _) = turn(&model, &mut asks("hello")).await;
        assert_eq!(answer.text, "Hello.");
    }

    #[tokio::test]
    async fn the_rules_finish_what_a_provider_began() {
        let item = json!({"item": "sugar"});
        let stub = Stub::replies(&[
            Reply::calls("inventory_get_item", &item),
            Reply::new(200, sse(&[delta(&json!({"content": "There are 7"}))])),
        ]);
        let model = fallback(&[&stub], &quick());
        let mut request = asks("Is there any sugar?");
        let (answer, _) = turn(&model, &mut request).await;
        assert_eq!(
            (answer.model.as_str(), answer.calls.len()),
            ("test-model", 1)
        );
        returned(&mut request, sugar());
        let (answer, screen) = turn(&model, &mut request).await;
        assert_eq!(answer.model, "interpreter");
        assert!(answer.text.contains("20 kg"), "{}", answer.text);
        assert_eq!(
            (screen.text, screen.started_over),
            (answer.text, 1),
            "7 is not said"
        );
    }

    #[tokio::test]
    async fn the_rules_tell_what_a_provider_did_and_had_not_said_yet() {
        let stub = Stub::replies(&[
            Reply::calls("inventory_add_item", &json!({"name": "Sugar"})),
            Reply::calls("inventory_get_item", &json!({"item": "sugar"})),
            Reply::new(500, "down"),
        ]);
        let model = fallback(&[&stub], &quick());
        let mut request = asks("Add 20 kg sugar, and how much is there then?");
        turn(&model, &mut request).await;
        let summary = "Added 20 kg Sugar at RWF 160 per kg (grocery).";
        let result = json!({"summary": summary});
        returned(&mut request, ToolOutcome::Done { result });
        turn(&model, &mut request).await;
        returned(&mut request, sugar());
        let (answer, _) = turn(&model, &mut request).await;
        assert_eq!(answer.model, "interpreter");
        assert!(answer.text.starts_with(summary), "{}", answer.text);
        assert!(answer.text.contains("in stock"), "{}", answer.text);
    }

    #[tokio::test]
    async fn a_provider_finishes_what_the_rules_began() {
        let stub = Stub::replies(&[Reply::new(400, "no"), Reply::says("20 kg of sugar.")]);
        let model = fallback(&[&stub], &quick());
        let mut request = asks("How much sugar is left?");
        let (begun, _) = turn(&model, &mut request).await;
        assert_eq!(begun.model, "interpreter");
        returned(&mut request, sugar());
        let (answer, screen) = turn(&model, &mut request).await;
        assert_eq!(answer.text, "20 kg of sugar.");
        assert!(screen.fell_back.is_empty());
        let body = &stub.seen()[1].body;
        let messages = body["messages"].as_array().unwrap();
        let call = &messages[messages.len() - 2]["tool_calls"][0];
        let outcome = &messages[messages.len() - 1];
        assert_eq!(call["function"]["name"], "inventory_get_item");
        assert_eq!(call["id"], outcome["tool_call_id"]);
        assert!(outcome["content"].as_str().unwrap().contains("20 kg"));
    }

    /// Calls as a language model may have made them, and whatever came of them.
    fn odd_windows() -> impl Iterator<Item = Vec<Message>> {
        let tools = [
            "inventory_list_items",
            "inventory_get_item",
            "inventory_update_item",
            "billing_create_bill",
            "billing_list_bills",
            "somebody.else's tool",
        ];
        let arguments = [
            json!({}),
            json!("{\"item\": "),
            json!(null),
            json!({"item": 3, "lines": "sugar", "adjust": []}),
            json!({"customer": "Ali", "lines": [{"item": {"name": 1}}, 7]}),
        ];
        let failed = |code| ToolOutcome::Failed {
            failure: ToolFailure::new(code, "No.", "").at("lines[3].item"),
        };
        let outcomes = [
            ToolOutcome::Done {
                result: json!(null),
            },
            ToolOutcome::Done {
                result: json!({"items": 3, "bill": "x", "next_cursor": {}}),
            },
            ToolOutcome::Denied { reason: None },
            ToolOutcome::Expired,
            ToolOutcome::Superseded,
            ToolOutcome::Unknown,
            failed(FailureCode::InvalidArguments),
            failed(FailureCode::AmbiguousItem),
            failed(FailureCode::UnknownCustomer),
            failed(FailureCode::InsufficientStock),
            failed(FailureCode::AlreadyExists),
            failed(FailureCode::UnknownUnit),
        ];
        tools.into_iter().flat_map(move |tool| {
            let outcomes = outcomes.clone();
            arguments.clone().into_iter().flat_map(move |arguments| {
                let call = ToolCall {
                    id: "toolu_01".to_owned(),
                    tool: tool.to_owned(),
                    arguments,
                };
                outcomes.clone().into_iter().map(move |outcome| {
                    vec![
                        Message::Assistant {
                            text: "Let me see.".to_owned(),
                            calls: vec![call.clone()],
                            note: Some(json!(["another model's"])),
                        },
                        Message::Tool {
                            call_id: call.id.clone(),
                            tool: call.tool.clone(),
                            outcome,
                        },
                    ]
                })
            })
        })
    }

    #[tokio::test]
    async fn the_rules_take_over_whatever_a_provider_has_left() {
        let mut seen = 0;
        for window in odd_windows() {
            for next in [None, Some("yes"), Some("make it 3"), Some("sugar")] {
                let mut request = asks("Please");
                request.messages.extend(window.iter().cloned());
                request.messages.extend(next.map(|text| Message::User {
                    text: text.to_owned(),
                }));
                let answer = Interpreter.answer(&request, &mut Screen::default()).await;
                let answer = answer.unwrap();
                assert!(
                    !answer.text.is_empty() || !answer.calls.is_empty(),
                    "{request:?}"
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 6 * 5 * 12 * 4);
    }

    #[tokio::test]
    async fn one_who_hangs_leaves_time_for_the_next() {
        let timeout = Duration::from_millis(600);
        let manner = ModelManner {
            timeout,
            idle: timeout,
            ..quick()
        };
        let hangs = Stub::new(|_| None);
        let fair = Stub::replies(&[Reply::says("Hello.")]);
        let model = fallback(&[&hangs, &fair], &manner);
        let begun = Instant::now();
        let (answer, _) = turn(&model, &mut asks("hello")).await;
        assert_eq!(answer.text, "Hello.");
        assert!(begun.elapsed() < timeout, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_refused_conversation_does_not_keep_others_from_looking() {
        let rest = Rest::new(REST_FIRST);
        let now = Instant::now();
        rest.failed(now);
        assert!(rest.admits(now + REST_FIRST, ANSWER_MAX));
        rest.released();
        assert!(rest.admits(now + REST_FIRST, ANSWER_MAX));
    }
}
