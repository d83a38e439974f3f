//! The interpreter with a few sentences of its own, for what the rules never do.

use std::sync::Arc;

use agent::models::interpreter::Interpreter;
use agent::models::{Answering, Message, Model, ModelAnswer, ModelRequest, TextSink, ToolCall};
use serde_json::json;
use tokio::sync::Semaphore;

/// Said in the middle of an answer that is held back.
pub const BEGUN: &str = "Working on it. ";
/// Said once it may go on.
pub const ENDED: &str = "There you are.";

/// The interpreter, but for four sentences: "hold" begins an answer and ends it when [`Rehearsed::go_on`] says so, "two bills" asks two
/// questions at once, "show off" writes terminal escapes, "break down" is more than the model can bear.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    may_end: Arc<Semaphore>,
}

impl Default for Rehearsed {
    fn default() -> Rehearsed {
        Rehearsed {
            may_end: Arc::new(Semaphore::new(0)),
        }
    }
}

impl Rehearsed {
    /// Lets one held answer end.
    pub fn go_on(&self) {
        self.may_end.add_permits(1);
    }
}

fn text(pieces: &[&str], sink: &mut dyn TextSink) -> ModelAnswer {
    pieces.iter().for_each(|piece| sink.delta(piece));
    ModelAnswer {
        text: pieces.concat(),
        ..ModelAnswer::default()
    }
}

fn bill(id: &str, customer: &str) -> ToolCall {
    let arguments = json!({"customer": customer, "lines": [{"item": "shampoo", "quantity": "1"}]});
    ToolCall {
        id: id.to_owned(),
        tool: "billing_create_bill".to_owned(),
        arguments,
    }
}

impl Model for Rehearsed {
    fn name(&self) -> &'static str {
        "rehearsed"
    }

    fn answer<'a>(
        &'a self,
        request: &'a ModelRequest,
        sink: &'a mut dyn TextSink,
    ) -> Answering<'a> {
        Box::pin(async move {
            let said = match request.messages.last() {
                Some(Message::User { text }) => text.as_str(),
                _ => "",
            };
            match said {
                "hold" => {
                    sink.delta(BEGUN);
                    // Closed by nobody: the permit comes or the scene fails.
                    if let Ok(permit) = self.may_end.acquire().await {
                        permit.forget();
                    }
                    sink.delta(ENDED);
                    Ok(ModelAnswer {
                        text: format!("{BEGUN}{ENDED}"),
                        ..ModelAnswer::default()
                    })
                }
                "two bills" => Ok(ModelAnswer {
                    calls: vec![bill("one", "Ali"), bill("two", "Aline")],
                    ..ModelAnswer::default()
                }),
                "show off" => Ok(text(&["plain ", "\u{1b}[2J", "words"], sink)),
                "break down" => Err(agent::models::ModelError::Refused(
                    "relation \"shop.secrets\" does not exist".to_owned(),
                )),
                _ => Interpreter.answer(request, sink).await,
            }
        })
    }
}
