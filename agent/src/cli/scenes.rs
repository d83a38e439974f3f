//! Conversations with the router on a real socket, typed by a script.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;
use crate::app::App;
use crate::config::Config;
use crate::turns::{Channel, TurnError};

/// Longest a scene waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Scripted {
    person: bool,
    lines: std::vec::IntoIter<&'static str>,
    /// Everything written: answers as they are, notes in braces, what was typed after its prompt.
    shown: String,
    ctrl_c: Arc<Notify>,
}

impl Terminal for Scripted {
    fn can_ask(&self) -> bool {
        self.person
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.shown.push_str(text);
        Ok(())
    }

    fn note(&mut self, line: &str) -> io::Result<()> {
        self.shown.push_str(&format!("{{{line}}}\n"));
        Ok(())
    }

    fn read_line<'a>(&'a mut self, prompt: &'a str) -> BoxFuture<'a, io::Result<Input>> {
        async move {
            let Some(line) = self.lines.next() else {
                return Ok(Input::End);
            };
            if line == "^C" {
                self.ctrl_c.notify_one();
                return std::future::pending().await;
            }
            self.shown.push_str(&format!("{prompt}{line}\n"));
            Ok(Input::Line(line.to_owned()))
        }
        .boxed()
    }

    fn interrupted(&self) -> BoxFuture<'static, ()> {
        let ctrl_c = Arc::clone(&self.ctrl_c);
        async move { ctrl_c.notified().await }.boxed()
    }
}

/// A running agent and its address.
async fn running() -> (Arc<App>, String) {
    let app = App::scripted(Config::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = local_url(listener.local_addr().unwrap());
    let router = crate::http::router(Arc::clone(&app));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (app, url)
}

async fn hold(
    url: &str,
    message: Option<&str>,
    person: bool,
    lines: Vec<&'static str>,
) -> (Ending, String) {
    let options = ChatOptions {
        message: message.map(str::to_owned),
        session_id: Some("s1".to_owned()),
    };
    let mut io = Scripted {
        person,
        lines: lines.into_iter(),
        ..Scripted::default()
    };
    let held = tokio::time::timeout(PATIENCE, chat(url, options, &mut io)).await;
    (held.expect("it ends").unwrap(), io.shown)
}

const QUESTION: &str = "Are you sure you want to create a bill for Ali: 2 kg Sugar @ 160 = 320, 1 Shampoo = 250 (Total: RWF 570)? Reply 'yes' to confirm.";

#[tokio::test]
async fn one_message_is_answered() {
    let (app, url) = running().await;
    assert!(is_running(&url).await.unwrap());
    let (ending, shown) = hold(&url, Some("Add 20kg sugar"), false, vec![]).await;
    assert_eq!(ending, Ending::Done);
    assert_eq!(
        shown,
        "{[Add an item]}\nAdded 20 kg Sugar at RWF 160 per kg (grocery).\n"
    );
    assert_eq!(app.script().begun[0].channel, Channel::Cli);
}

#[tokio::test]
async fn a_question_is_asked_of_a_person_and_told_to_a_pipe() {
    let (app, url) = running().await;
    let bill = Some("Create a bill for Ali");
    let (ending, shown) = hold(&url, bill, true, vec!["", "y"]).await;
    assert_eq!(ending, Ending::Done);
    let expected = format!(
        "{{[Create a bill]}}\n{QUESTION}\n[y/n] \n{QUESTION}\n[y/n] y\nCreated bill INV-0001 for Ali: RWF 570.\n"
    );
    assert_eq!(shown, expected);
    assert_eq!(app.script().answered[0].3, "cli");

    let (ending, shown) = hold(&url, bill, false, vec!["y"]).await;
    assert_eq!(ending.code(), 3);
    assert!(shown.contains(QUESTION), "{shown}");
    assert!(
        shown.ends_with("{Nothing is done yet. To answer: agent chat --session s1 \"yes\"}\n"),
        "{shown}"
    );
    assert_eq!(app.script().answered.len(), 1, "a pipe answers nothing");

    let (ending, shown) = hold(&url, Some("yes"), false, vec![]).await;
    assert_eq!(ending, Ending::Done);
    assert!(shown.ends_with("Created bill INV-0001 for Ali: RWF 570.\n"));
}

#[tokio::test]
async fn a_conversation_takes_answers_and_other_words_until_it_is_left() {
    let (app, url) = running().await;
    let lines = vec![
        "two bills",
        "n",
        "Add 20kg sugar",
        "yes",
        "exit",
        "never said",
    ];
    let (ending, shown) = hold(&url, None, true, lines).await;
    assert_eq!(ending, Ending::Done);
    assert_eq!(shown.matches("All right, nothing was done.").count(), 0);
    let prompts: Vec<&str> = shown
        .lines()
        .filter(|l| l.starts_with("> ") || l.starts_with("[y/n] "))
        .collect();
    assert_eq!(
        prompts,
        [
            "> two bills",
            "[y/n] n",
            "[y/n] Add 20kg sugar",
            "[y/n] yes",
            "> exit"
        ],
        "{shown}"
    );
    let script = app.script();
    assert_eq!(script.answered.len(), 2);
    assert_eq!(script.begun.len(), 2, "one conversation");
    assert!(
        script
            .begun
            .iter()
            .all(|t| t.session_id.as_deref() == Some("s1"))
    );
}

#[tokio::test]
async fn what_fails_is_one_sentence_and_exit_code_1() {
    let (app, url) = running().await;
    let (ending, shown) = hold(&url, Some("please fail"), false, vec![]).await;
    assert_eq!(
        (ending.code(), shown.as_str()),
        (1, "{System error. Please try again.}\n")
    );

    app.script().refuse_next = Some(TurnError::Unavailable("no route to 10.0.0.7".to_owned()));
    let (ending, shown) = hold(&url, Some("hello"), false, vec![]).await;
    assert_eq!(ending, Ending::Failed);
    assert_eq!(shown, "{Unable to reach the system. Please try again.}\n");
}

#[tokio::test]
async fn ctrl_c_leaves_and_the_work_goes_on() {
    let (app, url) = running().await;
    let (ending, shown) = hold(&url, None, true, vec!["^C"]).await;
    assert_eq!(ending, Ending::Done, "{shown}");
    let (ending, shown) = hold(&url, Some("Create a bill"), true, vec!["^C"]).await;
    assert_eq!(ending, Ending::QuestionOpen);
    assert!(shown.contains("agent chat --session s1 \"yes\""), "{shown}");

    // In the middle of an answer.
    let ctrl_c = Arc::new(Notify::new());
    let mut io = Scripted {
        ctrl_c: Arc::clone(&ctrl_c),
        ..Scripted::default()
    };
    let options = ChatOptions {
        message: Some("hold".to_owned()),
        session_id: Some("s2".to_owned()),
    };
    let pressed = async {
        while app.script().begun.iter().all(|turn| turn.message != "hold") {
            tokio::task::yield_now().await;
        }
        ctrl_c.notify_one();
    };
    let held = async { tokio::join!(chat(&url, options, &mut io), pressed).0 };
    let ending = tokio::time::timeout(PATIENCE, held).await.unwrap();
    assert_eq!(ending.unwrap().code(), 130);
    assert!(io.shown.contains("goes on without you"), "{}", io.shown);
}

/// Answers each request with the next of `streams`, and notes what was asked. `None` breaks the connection.
async fn breaking(streams: Vec<Option<&'static str>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (noted, streams) = (
        Arc::clone(&asked),
        Arc::new(Mutex::new(streams.into_iter())),
    );
    let answer = move |request: axum::extract::Request| {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.map_or("", |v| v.to_str().unwrap()).to_owned()
        };
        let (path, place) = (request.uri().path().to_owned(), header("last-event-id"));
        let key = header("idempotency-key");
        noted.lock().unwrap().push(format!("{path} {place}{key}"));
        let stream = streams.lock().unwrap().next().unwrap();
        std::future::ready(stream.map_or_else(
            || {
                axum::body::Body::from_stream(futures::stream::iter([Err::<String, _>(
                    io::Error::other("cut"),
                )]))
            },
            axum::body::Body::from,
        ))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = local_url(listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[tokio::test]
async fn a_lost_stream_is_taken_up_where_it_stopped() {
    let begun = "data: {\"type\":\"start\",\"messageMetadata\":{\"sessionId\":\"s1\"}}\nid: r:1\n\n\
        data: {\"type\":\"text-delta\",\"delta\":\"one \"}\nid: r:2\n\n\
        data: {\"type\":\"text-delta\",\"delta\":\"cut";
    let rest =
        "data: {\"type\":\"text-delta\",\"delta\":\"two\\u001b[2J\"}\nid: r:3\n\ndata: [DONE]\n\n";
    let (url, asked) = breaking(vec![None, Some(begun), Some(rest)]).await;
    let (ending, shown) = hold(&url, Some("hello"), false, vec![]).await;
    assert_eq!(ending, Ending::Done, "{shown}");
    assert_eq!(shown, "one two[2J\n", "whole, once, and without escapes");
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("/agent/chat cli-"));
    assert_eq!(asked[0], asked[1], "the same key");
    assert_eq!(asked[2], "/agent/chat/s1/stream r:2");
}

#[tokio::test]
async fn an_address_is_told_from_a_wrong_one() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = local_url(unused.local_addr().unwrap());
    drop(unused);
    assert!(!is_running(&free).await.unwrap());

    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = local_url(other.local_addr().unwrap());
    let router = axum::Router::new().fallback(async || "hello");
    tokio::spawn(async move { axum::serve(other, router).await });
    assert!(matches!(
        is_running(&url).await,
        Err(CliError::SomethingElse(_))
    ));
    for bad in ["", "localhost:8000", "ftp://localhost", "http://"] {
        assert!(
            matches!(is_running(bad).await, Err(CliError::BadUrl(_))),
            "{bad}"
        );
    }
}
