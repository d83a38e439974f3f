//! Conversations typed by a script, with a server on a real socket that answers each request with what the scene gives it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

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

/// What one request is answered with.
enum Given {
    /// These frames, as events 1, 2, ... of run `r`, and the end.
    Turn(Vec<Value>),
    /// This stream, as it is.
    Raw(&'static str),
    /// A connection that breaks before anything arrives.
    Broken,
    /// A stream that stays silent.
    Silent,
    /// A refusal in the agent's form.
    Refused(u16, &'static str),
    /// Another program's page.
    Foreign,
}

impl Given {
    fn response(self) -> Response {
        let (status, body) = match self {
            Given::Turn(frames) => (200, Body::from(stream(&frames))),
            Given::Raw(text) => (200, Body::from(text)),
            Given::Broken => {
                let cut = futures::stream::iter([Err::<String, _>(io::Error::other("cut"))]);
                (200, Body::from_stream(cut))
            }
            Given::Silent => {
                let silence = futures::stream::pending::<io::Result<String>>();
                (200, Body::from_stream(silence))
            }
            Given::Refused(status, detail) => (status, Body::from(problem(status, detail))),
            Given::Foreign => (404, Body::from("<h1>Not found</h1>")),
        };
        Response::builder().status(status).body(body).unwrap()
    }
}

fn stream(frames: &[Value]) -> String {
    let start = json!({"type": "start", "messageMetadata": {"sessionId": "s1"}});
    let told: String = std::iter::once(&start)
        .chain(frames)
        .enumerate()
        .map(|(at, frame)| format!("data: {frame}\nid: r:{at}\n\n"))
        .collect();
    format!("{told}data: [DONE]\n\n")
}

fn problem(status: u16, detail: &str) -> String {
    json!({
        "type": "urn:countersign:problem:internal", "title": "Refused", "status": status, "code": "internal",
        "detail": detail, "request_id": "01a1f8bf-ecdf-76ff-84c4-6de2111b245b",
    })
    .to_string()
}

fn text(sentence: &str) -> Value {
    json!({"type": "text-delta", "id": "text_1", "delta": sentence})
}

fn call(id: &str, title: &str) -> Value {
    json!({"type": "tool-input-start", "toolCallId": id, "title": title})
}

fn confirmation(id: &str, status: &str, summary: &str) -> Value {
    let data = json!({"approvalId": format!("approval_{id}"), "toolCallId": id, "status": status, "summary": summary});
    json!({"type": "data-confirmation", "id": format!("approval_{id}"), "data": data})
}

/// Which request came: path and place, or key.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers each request with the next of `given`; a request too many fails the scene.
async fn serve(given: Vec<Given>) -> (String, Asked) {
    let asked = Asked::default();
    let (noted, given) = (Arc::clone(&asked), Arc::new(Mutex::new(given.into_iter())));
    let answer = move |request: axum::extract::Request| {
        let (noted, given) = (Arc::clone(&noted), Arc::clone(&given));
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.map_or("", |v| v.to_str().unwrap()).to_owned()
        };
        let (path, place) = (request.uri().path().to_owned(), header("last-event-id"));
        let key = header("idempotency-key");
        async move {
            let body = axum::body::to_bytes(request.into_body(), 100_000).await;
            let sent: Value = serde_json::from_slice(&body.unwrap()).unwrap_or_default();
            let said = sent["message"]
                .as_str()
                .or_else(|| sent["decision"].as_str());
            let line = format!("{path} {place}{key} {}", said.unwrap_or_default());
            noted.lock().unwrap().push(line);
            let next = given.lock().unwrap().next().unwrap();
            next.response()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = local_url(listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

/// What was said and decided, in order.
fn said(asked: &Asked) -> Vec<String> {
    let asked = asked.lock().unwrap();
    let word = |line: &String| line.splitn(3, ' ').last().unwrap_or_default().to_owned();
    asked.iter().map(word).collect()
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
        token: None,
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

fn asking() -> Given {
    Given::Turn(vec![
        call("call_1", "Create a bill"),
        confirmation("call_1", "pending", QUESTION),
    ])
}

fn written() -> Given {
    Given::Turn(vec![
        confirmation("call_1", "dispatched", QUESTION),
        call("call_1", "Create a bill"),
        text("Created bill INV-1 for Ali. Total: RWF 570."),
    ])
}

#[tokio::test]
async fn one_message_is_answered() {
    let answer = vec![call("call_1", "Add an item"), text("Added 20 kg Sugar.")];
    let (url, asked) = serve(vec![Given::Turn(answer)]).await;
    let (ending, shown) = hold(&url, Some("Add 20kg sugar"), false, vec![]).await;
    assert_eq!(ending, Ending::Done);
    assert_eq!(shown, "{[Add an item]}\nAdded 20 kg Sugar.\n");
    assert_eq!(said(&asked), ["Add 20kg sugar"]);
}

#[tokio::test]
async fn a_person_is_asked_until_there_is_an_answer_and_the_call_is_named_once() {
    let (url, asked) = serve(vec![asking(), written()]).await;
    let bill = Some("Create a bill for Ali");
    let (ending, shown) = hold(&url, bill, true, vec!["", "y"]).await;
    assert_eq!(ending, Ending::Done);
    let expected = format!(
        "{{[Create a bill]}}\n{QUESTION}\n[y/n] \n{QUESTION}\n[y/n] y\nCreated bill INV-1 for Ali. Total: RWF 570.\n"
    );
    assert_eq!(shown, expected);
    assert_eq!(said(&asked), ["Create a bill for Ali", "approve"]);
    let decided = asked.lock().unwrap()[1].clone();
    assert!(
        decided.starts_with("/agent/approvals/approval_call_1 "),
        "{decided}"
    );
}

#[tokio::test]
async fn a_pipe_is_told_how_to_answer_and_answers_nothing() {
    let (url, asked) = serve(vec![asking(), written()]).await;
    let (ending, shown) = hold(&url, Some("Create a bill"), false, vec!["y"]).await;
    assert_eq!(ending.code(), 3);
    assert!(shown.contains(QUESTION), "{shown}");
    let how = "{Nothing is done yet. To answer: agent chat --session s1 \"yes\"}\n";
    assert!(shown.ends_with(how), "{shown}");
    assert_eq!(said(&asked), ["Create a bill"]);

    let (ending, shown) = hold(&url, Some("yes"), false, vec![]).await;
    assert_eq!(ending, Ending::Done);
    assert_eq!(shown, "Created bill INV-1 for Ali. Total: RWF 570.\n");
}

#[tokio::test]
async fn a_conversation_takes_answers_and_other_words_until_it_is_left() {
    let two = Given::Turn(vec![
        confirmation("call_1", "pending", "The first?"),
        confirmation("call_2", "pending", "The second?"),
    ]);
    let denied = Given::Turn(vec![confirmation("call_1", "denied", "The first?")]);
    let other = Given::Turn(vec![text("Sugar: 20 kg added.")]);
    let approved = Given::Turn(vec![confirmation("call_2", "dispatched", "The second?")]);
    let (url, asked) = serve(vec![two, denied, other, approved]).await;
    let lines = vec![
        "two bills",
        "n",
        "Add 20kg sugar",
        "yes",
        "exit",
        "never said",
    ];
    let (ending, shown) = hold(&url, None, true, lines).await;
    assert_eq!(ending, Ending::Done, "{shown}");
    let prompts: Vec<&str> = shown
        .lines()
        .filter(|l| l.starts_with("> ") || l.starts_with("[y/n] "))
        .collect();
    let expected = [
        "> two bills",
        "[y/n] n",
        "[y/n] Add 20kg sugar",
        "[y/n] yes",
        "> exit",
    ];
    assert_eq!(prompts, expected, "{shown}");
    assert_eq!(
        said(&asked),
        ["two bills", "deny", "Add 20kg sugar", "approve"]
    );
    let asked = asked.lock().unwrap();
    assert!(
        asked[1].contains("call_1") && asked[3].contains("call_2"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_fails_is_one_sentence_and_exit_code_1() {
    let failed = json!({"type": "error", "errorText": "System error. Please try again."});
    let refused = Given::Refused(503, "Unable to reach the system. Please try again.");
    let (url, _) = serve(vec![Given::Turn(vec![failed]), refused]).await;
    let (ending, shown) = hold(&url, Some("please fail"), false, vec![]).await;
    assert_eq!(
        (ending.code(), shown.as_str()),
        (1, "{System error. Please try again.}\n")
    );
    let (ending, shown) = hold(&url, Some("hello"), false, vec![]).await;
    assert_eq!(ending, Ending::Failed);
    assert_eq!(shown, "{Unable to reach the system. Please try again.}\n");
}

#[tokio::test]
async fn where_no_agent_is_one_is_told_so_at_once() {
    let (other, _) = serve(vec![Given::Foreign]).await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = local_url(unused.local_addr().unwrap());
    drop(unused);
    for url in [other, free] {
        let (ending, shown) = hold(&url, Some("hello"), false, vec![]).await;
        assert_eq!(ending, Ending::Failed);
        let told = "{No agent answers at URL. Start one with `agent`, or give the right address with --url.}\n";
        assert_eq!(shown, told.replace("URL", &url));
    }
}

#[tokio::test]
async fn ctrl_c_leaves_and_the_work_goes_on() {
    let (url, _) = serve(vec![asking(), Given::Silent]).await;
    let (ending, shown) = hold(&url, None, true, vec!["^C"]).await;
    assert_eq!(ending, Ending::Done, "{shown}");
    let (ending, shown) = hold(&url, Some("Create a bill"), true, vec!["^C"]).await;
    assert_eq!(ending, Ending::QuestionOpen);
    assert!(shown.contains("agent chat --session s1 \"yes\""), "{shown}");
}

#[tokio::test]
async fn ctrl_c_in_the_middle_of_an_answer_says_that_the_work_goes_on() {
    let (url, asked) = serve(vec![Given::Silent]).await;
    let ctrl_c = Arc::new(Notify::new());
    let mut io = Scripted {
        ctrl_c: Arc::clone(&ctrl_c),
        ..Scripted::default()
    };
    let options = ChatOptions {
        message: Some("hold".to_owned()),
        session_id: Some("s2".to_owned()),
        token: None,
    };
    let pressed = async {
        while asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        ctrl_c.notify_one();
    };
    let held = async { tokio::join!(chat(&url, options, &mut io), pressed).0 };
    let ending = tokio::time::timeout(PATIENCE, held).await.unwrap();
    assert_eq!(ending.unwrap().code(), 130);
    assert!(io.shown.contains("goes on without you"), "{}", io.shown);
}

#[tokio::test]
async fn a_lost_stream_is_taken_up_where_it_stopped() {
    let begun = "data: {\"type\":\"start\",\"messageMetadata\":{\"sessionId\":\"s1\"}}\nid: r:1\n\n\
        data: {\"type\":\"text-delta\",\"delta\":\"one \"}\nid: r:2\n\n\
        data: {\"type\":\"text-delta\",\"delta\":\"cut";
    let rest =
        "data: {\"type\":\"text-delta\",\"delta\":\"two\\u001b[2J\"}\nid: r:3\n\ndata: [DONE]\n\n";
    let (url, asked) = serve(vec![Given::Broken, Given::Raw(begun), Given::Raw(rest)]).await;
    let (ending, shown) = hold(&url, Some("hello"), false, vec![]).await;
    assert_eq!(ending, Ending::Done, "{shown}");
    let expected = "{Unable to reach the system. Trying again ...}\none two[2J\n";
    assert_eq!(
        shown, expected,
        "told once, whole, once, and without escapes"
    );
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("/agent/chat cli-"));
    assert_eq!(asked[0], asked[1], "the same key");
    assert_eq!(asked[2].trim_end(), "/agent/chat/s1/stream r:2");
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
