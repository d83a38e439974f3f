//! What the language model of the benchmark says: `agent stub-provider` as a process, which answers at once and refuses what a provider
//! would refuse.

use std::time::Duration;

use serde_json::{Value, json};

/// What is said to be answered without a tool.
pub(crate) const GREETING: &str = "Good morning";
/// Part of the answer to it.
pub(crate) const WELCOME: &str = "What can I do for you today";
/// The same, but thought about.
pub(crate) const SLOW_GREETING: &str = "Good morning, slowly";
/// For so long.
pub(crate) const THINK: Duration = Duration::from_millis(50);
/// What is said to be answered with a tool.
pub(crate) const QUESTION: &str = "What's in the beauty category?";

/// The scenes of the stub.
pub(crate) fn script() -> Value {
    let welcome = format!("Good morning. {WELCOME}?");
    let list = json!({"name": "inventory_list_items", "arguments": {"category": "beauty"}});
    let scene =
        |message: &str, answers: Value| json!({"when": {"text": message}, "answers": answers});
    json!({"scenes": [
        scene(GREETING, json!([{"say": welcome}])),
        scene(SLOW_GREETING, json!([{"say": welcome, "think_ms": THINK.as_millis()}])),
        scene(QUESTION, json!([{"calls": [list]}, {"say": "There are 2 items in beauty: Shampoo and Soap."}])),
    ]})
}
