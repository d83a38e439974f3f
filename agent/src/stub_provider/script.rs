//! What a stub says: scenes, each for a message of the person, with one answer per stage.
//!
//! A script holds no place in a conversation: which answer comes is read off the request, so that a request that is sent again gets
//! the same answer. Only a fault with a count remembers anything.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fault::{Fault, FaultKind, Trouble};
use super::request::Heard;

/// A script is no larger than this.
pub const SCRIPT_BYTES_MAX: usize = 1024 * 1024;
/// Longest pause before an answer: ten minutes.
const THINK_MS_MAX: u64 = 600_000;
/// Most calls of one answer, as at `OpenAI`.
const CALLS_MAX: usize = 128;
const PLACEHOLDERS: [&str; 3] = ["summary", "summaries", "message"];

/// What is said when there is no script.
const BUILT_IN: &str =
    r#"{"scenes": [{"when": "any", "answers": [{"say": "I heard: {{message}}"}]}]}"#;

/// A script as it is written, in JSON. Unknown fields are refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    scenes: Vec<Scene>,
}

/// The answers to one message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scene {
    /// Which message of the person it is about: the last one of the request.
    when: When,
    /// The first when nothing has been answered since the message, the second after one answer, and so on.
    answers: Vec<Answer>,
}

/// Which messages a scene is about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum When {
    /// Exactly this text.
    Text(String),
    /// Any text that holds this.
    Contains(String),
    /// Any text.
    Any,
}

impl When {
    fn is_about(&self, message: &str) -> bool {
        match self {
            When::Text(text) => text == message,
            When::Contains(part) => message.contains(part),
            When::Any => true,
        }
    }
}

/// One answer of the model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What it says. `{{summary}}` is the `summary` of the last tool result since the message (the `message` of one that has none),
    /// `{{summaries}}` all of them with a space between, `{{message}}` the message.
    #[serde(default)]
    pub say: String,
    /// The calls it wants, in order.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// Milliseconds before anything is sent; at most ten minutes.
    #[serde(default)]
    pub think_ms: u64,
    /// What is wrong with it.
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// A call of a scripted answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// Why a script cannot be used. The text names the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The script cannot be used: {0}.")]
pub struct BadScript(String);

/// The request is about nothing the script knows. The text says what was looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotScripted {
    /// No scene for the message.
    #[error("The script has no scene for the message {0:?}.")]
    Scene(String),
    /// The scene is over.
    #[error(
        "The script has no answer {stage} for the message {message:?}: scenes[{scene}] has {answers}."
    )]
    Stage {
        /// The message.
        message: String,
        /// Answers given since, so the place of the one that is missing.
        stage: usize,
        /// The scene that is about the message.
        scene: usize,
        /// How many answers it has.
        answers: usize,
    },
}

/// The answer to a request, and what goes wrong with it.
#[derive(Debug)]
pub(super) struct Cue<'a> {
    pub(super) answer: &'a Answer,
    pub(super) scene: usize,
    pub(super) stage: usize,
    /// The answer's own fault if it strikes; counted.
    pub(super) fault: Option<FaultKind>,
}

/// A script in use, with what its faults still spoil.
#[derive(Debug)]
pub struct Script {
    scenes: Vec<Scene>,
    /// By scene and answer.
    troubles: Vec<Vec<Option<Trouble>>>,
}

impl Script {
    /// The script that is there without one: it calls nothing and says what it heard.
    ///
    /// # Errors
    /// Never: a test reads it.
    pub fn built_in() -> Result<Script, BadScript> {
        Script::read(BUILT_IN.as_bytes())
    }

    /// Reads a script of at most [`SCRIPT_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`BadScript`], which names the place.
    pub fn read(json: &[u8]) -> Result<Script, BadScript> {
        if json.len() > SCRIPT_BYTES_MAX {
            return Err(BadScript(format!(
                "it is larger than {SCRIPT_BYTES_MAX} bytes"
            )));
        }
        let mut reader = serde_json::Deserializer::from_slice(json);
        let written: Written = serde_path_to_error::deserialize(&mut reader)
            .map_err(|e| BadScript(format!("{}: {}", e.path(), e.inner())))?;
        reader.end().map_err(|e| BadScript(e.to_string()))?;
        check(&written)?;
        let troubles = written.scenes.iter().map(|scene| {
            let faults = scene.answers.iter().map(|answer| answer.fault);
            faults.map(|fault| fault.map(Trouble::new)).collect()
        });
        Ok(Script {
            troubles: troubles.collect(),
            scenes: written.scenes,
        })
    }

    /// Reads a script from a file.
    ///
    /// # Errors
    /// [`BadScript`], also when the file cannot be read.
    pub fn load(path: &Path) -> Result<Script, BadScript> {
        let unreadable = |e: io::Error| BadScript(format!("its file cannot be read: {e}"));
        let file = File::open(path).map_err(unreadable)?;
        let mut json = Vec::new();
        // One byte more than is allowed tells that there are more.
        file.take(SCRIPT_BYTES_MAX as u64 + 1)
            .read_to_end(&mut json)
            .map_err(unreadable)?;
        Script::read(&json)
    }

    /// How many scenes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scenes.len()
    }

    /// Whether it has no scene, which [`Script::read`] refuses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scenes.is_empty()
    }

    /// The answer whose turn it is: of the first scene about the message, by the number of answers since. If `endless`, the first calls
    /// of the scene are made for ever.
    pub(super) fn cue(&self, heard: &Heard, endless: bool) -> Result<Cue<'_>, NotScripted> {
        let (scene, troubles, answers) = self
            .scenes
            .iter()
            .zip(&self.troubles)
            .enumerate()
            .find(|(_, (scene, _))| scene.when.is_about(&heard.message))
            .map(|(place, (scene, troubles))| (place, troubles, &scene.answers))
            .ok_or_else(|| NotScripted::Scene(heard.message.clone()))?;
        let own = troubles
            .iter()
            .position(|t| t.as_ref().is_some_and(Trouble::is_endless));
        let calls = || answers.iter().position(|a| !a.calls.is_empty());
        let last = if endless { calls() } else { own };
        let stage = last.map_or(heard.stage, |last| heard.stage.min(last));
        let Some(answer) = answers.get(stage) else {
            return Err(NotScripted::Stage {
                message: heard.message.clone(),
                stage,
                scene,
                answers: answers.len(),
            });
        };
        let trouble = troubles.get(stage).and_then(Option::as_ref);
        Ok(Cue {
            answer,
            scene,
            stage,
            fault: trouble.and_then(Trouble::strike),
        })
    }
}

/// What the types cannot say.
fn check(written: &Written) -> Result<(), BadScript> {
    let bad = |place: String, why: &str| Err(BadScript(format!("{place}: {why}")));
    if written.scenes.is_empty() {
        return bad("scenes".to_owned(), "at least one is needed");
    }
    for (s, scene) in written.scenes.iter().enumerate() {
        if scene.answers.is_empty() {
            return bad(format!("scenes[{s}].answers"), "at least one is needed");
        }
        for (a, answer) in scene.answers.iter().enumerate() {
            let place = format!("scenes[{s}].answers[{a}]");
            if let Err(why) = check_answer(answer) {
                return bad(place, &why);
            }
        }
    }
    Ok(())
}

fn check_answer(answer: &Answer) -> Result<(), String> {
    if answer.say.is_empty() && answer.calls.is_empty() && answer.fault.is_none() {
        return Err("it neither says nor calls anything, and nothing is wrong with it".to_owned());
    }
    if answer.think_ms > THINK_MS_MAX {
        return Err(format!("think_ms is at most {THINK_MS_MAX}"));
    }
    if answer.calls.len() > CALLS_MAX {
        return Err(format!("there are at most {CALLS_MAX} calls"));
    }
    let mut rest = answer.say.as_str();
    while let Some((_, after)) = rest.split_once("{{") {
        let name = after.split_once("}}").map(|(name, _)| name);
        if !name.is_some_and(|name| PLACEHOLDERS.contains(&name)) {
            return Err(format!(
                "say: after {{{{ comes one of {} and }}}}",
                PLACEHOLDERS.join(", ")
            ));
        }
        rest = after;
    }
    Ok(())
}

impl Answer {
    /// What is said to this request. Nothing that was put in is read again, so a message cannot bring placeholders of its own.
    pub(super) fn said(&self, heard: &Heard) -> String {
        let mut said = String::with_capacity(self.say.len());
        let mut rest = self.say.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            said.push_str(before);
            let (name, after) = after.split_once("}}").unwrap_or((after, ""));
            match name {
                "summary" => said.push_str(heard.summaries.last().map_or("", String::as_str)),
                "summaries" => said.push_str(&heard.summaries.join(" ")),
                _ => said.push_str(&heard.message),
            }
            rest = after;
        }
        said.push_str(rest);
        said
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(message: &str, stage: usize, summaries: &[&str]) -> Heard {
        Heard {
            message: message.to_owned(),
            stage,
            summaries: summaries.iter().map(|&s| s.to_owned()).collect(),
        }
    }

    fn script(scenes: &Value) -> Script {
        Script::read(json!({ "scenes": scenes }).to_string().as_bytes()).unwrap()
    }

    fn refused(json: &str) -> String {
        Script::read(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_first_scene_about_the_message_answers_stage_by_stage() {
        let script = script(&json!([
            {"when": {"text": "sugar?"}, "answers": [{"calls": [{"name": "look"}]}, {"say": "{{summary}}"}]},
            {"when": {"contains": "sugar"}, "answers": [{"say": "something about sugar"}]},
            {"when": "any", "answers": [{"say": "{{message}}? {{summaries}}"}]},
        ]));
        let say = |heard: &Heard| script.cue(heard, false).map(|cue| cue.answer.said(heard));
        assert_eq!(say(&heard("sugar?", 0, &[])), Ok(String::new()));
        assert_eq!(say(&heard("sugar?", 1, &["a", "b"])), Ok("b".to_owned()));
        assert_eq!(
            say(&heard("more sugar?", 0, &[])),
            Ok("something about sugar".to_owned())
        );
        assert_eq!(
            say(&heard("{{summary}}", 0, &["a", "b"])),
            Ok("{{summary}}? a b".to_owned()),
            "what is put in is not read again"
        );
        let over = say(&heard("sugar?", 2, &[])).unwrap_err().to_string();
        assert!(
            over.contains("no answer 2") && over.contains("scenes[0] has 2"),
            "{over}"
        );
    }

    #[test]
    fn a_message_without_a_scene_is_an_error_that_says_so() {
        let script = script(&json!([{"when": {"text": "a"}, "answers": [{"say": "b"}]}]));
        let error = script.cue(&heard("A", 0, &[]), false).unwrap_err();
        assert_eq!(error, NotScripted::Scene("A".to_owned()));
    }

    #[test]
    fn a_counted_fault_belongs_to_its_answer() {
        let script = script(&json!([{"when": "any", "answers": [
            {"say": "a", "fault": {"kind": "cut", "times": 1}}, {"say": "b", "fault": "hang"}
        ]}]));
        let fault = |stage| script.cue(&heard("x", stage, &[]), false).unwrap().fault;
        assert_eq!(fault(0), Some(FaultKind::Cut));
        assert_eq!(fault(0), None);
        assert_eq!(fault(1), Some(FaultKind::Hang));
        assert_eq!(fault(1), Some(FaultKind::Hang));
    }

    #[test]
    fn endless_calls_go_on_where_the_scene_would_be_over() {
        let script = script(&json!([{"when": "any", "answers": [
            {"say": "a"}, {"calls": [{"name": "look"}], "fault": "endless_calls"}, {"say": "never"}
        ]}]));
        let stage = |stage| script.cue(&heard("x", stage, &[]), false).unwrap().stage;
        assert_eq!([stage(0), stage(1), stage(2), stage(40)], [0, 1, 1, 1]);

        let script = self::script(&json!([{"when": "any", "answers": [
            {"say": "a"}, {"calls": [{"name": "look"}]}, {"say": "never"}
        ]}]));
        let stage = |stage| script.cue(&heard("x", stage, &[]), true).map(|c| c.stage);
        assert_eq!([stage(0), stage(1), stage(40)], [Ok(0), Ok(1), Ok(1)]);
    }

    #[test]
    fn errors_name_the_place() {
        assert!(refused("{").contains("line 1"));
        assert!(refused(r#"{"scenes": []} x"#).contains("trailing"));
        assert!(refused(r#"{"scenes": []}"#).contains("scenes: at least one"));
        let scene = |answer: &str| {
            refused(&format!(
                r#"{{"scenes": [{{"when": "any", "answers": [{answer}]}}]}}"#
            ))
        };
        assert!(scene("").contains("scenes[0].answers: at least one"));
        assert!(scene("{}").contains("scenes[0].answers[0]: it neither says"));
        let bad = scene(r#"{"say": "a", "cals": []}"#);
        assert!(
            bad.contains("scenes[0].answers[0]") && bad.contains("unknown field `cals`"),
            "{bad}"
        );
        let bad = scene(r#"{"say": "a", "fault": "slow"}"#);
        assert!(
            bad.contains("scenes[0].answers[0].fault") && bad.contains("`slow`"),
            "{bad}"
        );
        assert!(scene(r#"{"say": "{{total}}"}"#).contains("one of summary, summaries, message"));
        assert!(scene(r#"{"say": "{{summary"}"#).contains("say:"));
        assert!(scene(r#"{"say": "a", "think_ms": 600001}"#).contains("think_ms"));
        let bad = refused(r#"{"scenes": [{"when": "never", "answers": [{"say": "a"}]}]}"#);
        assert!(bad.contains("scenes[0].when"), "{bad}");
        assert!(refused(&" ".repeat(SCRIPT_BYTES_MAX + 1)).contains("larger"));
    }

    #[test]
    fn the_shipped_script_can_be_used() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("rehearsal/shop.json");
        let script = Script::load(&path).unwrap();
        let cue = script.cue(&heard("How much sugar is left?", 0, &[]), false);
        assert_eq!(cue.unwrap().answer.calls[0].name, "inventory_get_item");
        let missing = Script::load(Path::new("no/such/file")).unwrap_err();
        assert!(missing.to_string().contains("cannot be read"));
    }

    #[test]
    fn without_a_script_it_says_what_it_heard() {
        let script = Script::built_in().unwrap();
        let heard = heard("good morning", 0, &[]);
        let cue = script.cue(&heard, false).unwrap();
        assert_eq!(cue.answer.said(&heard), "I heard: good morning");
        assert!(cue.answer.calls.is_empty());
    }
}
