//! The pages of the tools say what is so: their examples are played, and their answers are the ones that come.

use contracts::tools::sheets;
use e2e::examples::{self, Example};
use serde_json::Value;

#[tokio::test]
async fn every_example_answers_what_its_page_prints() {
    let world = examples::shop().await;
    let played = examples::play(&world).await;
    let came: Vec<Example> = played.into_iter().map(|(example, _)| example).collect();
    let printed: Vec<Value> = came.iter().map(Example::json).collect();
    assert!(
        came == examples::all(),
        "The answers have changed. If that is right, this is what examples.json has to be:\n{}",
        serde_json::to_string_pretty(&printed).expect("JSON")
    );
}

#[test]
fn every_tool_has_an_example_and_every_commit_shows_its_question() {
    let examples = examples::all();
    for sheet in sheets() {
        let of_it: Vec<&Example> = examples.iter().filter(|e| e.tool == sheet.name).collect();
        assert!(!of_it.is_empty(), "{} has no example", sheet.name);
        if sheet.effect == contracts::tool::Effect::Commit {
            let shown = of_it.iter().any(|e| e.asks.is_some());
            assert!(shown, "{} shows no question", sheet.name);
        }
    }
}

#[test]
fn the_pages_are_generated_and_name_every_tool_and_argument() {
    let pages = e2e::tool_pages::pages();
    for sheet in sheets() {
        let path = format!("contracts/tools/{}.md", sheet.toolset.word());
        let (_, page) = pages.iter().find(|(p, _)| *p == path).expect("a page");
        assert!(page.contains(&format!("\n## {}\n", sheet.name)));
        let arguments = sheet.input_schema["properties"].as_object();
        for argument in arguments.into_iter().flatten().map(|(name, _)| name) {
            assert!(page.contains(&format!("| `{argument}` |")), "{argument}");
        }
    }
}
