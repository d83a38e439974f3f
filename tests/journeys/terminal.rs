//! `agent chat`: conversations typed by a script, with the agent on a real socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agent::cli::{ChatOptions, CliError, Ending, Input, Terminal, chat, is_running, local_url};
use e2e::world::model::{BEGUN, ENDED, Rehearsed};
use e2e::world::{PATIENCE, Setting, World, until};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const QUESTION: &str = "Are you sure you want to create a bill for Ali: 1 Shampoo = 250 (Total: RWF 250)? Reply 'yes' to confirm.";
const BILL: &str = "Create a bill for Ali: 1 shampoo";

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

async fn hold(
    url: &str,
    message: Option<&str>,
    person: bool,
    lines: Vec<&'static str>,
) -> (Ending, String) {
    let options = ChatOptions {
        message: message.map(str::to_owned),
        session_id: Some("s".to_owned()),
        token: None,
    };
    let mut io = Scripted {
        person,
        lines: lines.into_iter(),
        ..Scripted::default()
    };
    let held = tokio::time::timeout(PATIENCE, chat(url, options, &mut io)).await;
    (held.expect("it ends").expect("it is held"), io.shown)
}

#[tokio::test]
async fn one_message_is_answered() {
    let world = World::open().await;
    let url = world.agent.url();
    assert!(is_running(&url).await.expect("an agent"));
    let (ending, shown) = hold(
        &url,
        Some("Add 20kg sugar at 160 per kg to grocery"),
        false,
        vec![],
    )
    .await;
    assert_eq!(ending, Ending::Done);
    assert_eq!(
        shown,
        "{[Add an item]}\nAdded 20 kg Sugar at RWF 160 per kg (grocery).\n"
    );
    assert_eq!(
        world.text("select channel from agent.agent_sessions").await,
        "cli"
    );
}

#[tokio::test]
async fn a_question_is_asked_of_a_person_and_told_to_a_pipe() {
    let world = World::open().await;
    let url = world.agent.url();
    let (ending, shown) = hold(&url, Some(BILL), true, vec!["", "y"]).await;
    assert_eq!(ending, Ending::Done, "{shown}");
    let asked = format!("{{[Create a bill]}}\n{QUESTION}\n[y/n] \n{QUESTION}\n[y/n] y\n");
    assert!(shown.starts_with(&asked), "{shown}");
    assert!(shown.contains("INV-1"), "{shown}");
    assert_eq!(world.bills().await, 1);
    assert_eq!(
        world.text("select decided_via from agent.approvals").await,
        "cli"
    );

    let (ending, shown) = hold(&url, Some(BILL), false, vec!["y"]).await;
    assert_eq!(ending.code(), 3);
    assert!(shown.contains(QUESTION), "{shown}");
    assert!(
        shown.ends_with("{Nothing is done yet. To answer: agent chat --session s \"yes\"}\n"),
        "{shown}"
    );
    assert_eq!(world.bills().await, 1, "a pipe answers nothing");

    let (ending, shown) = hold(&url, Some("yes"), false, vec![]).await;
    assert_eq!(ending, Ending::Done);
    assert!(shown.contains("INV-2"), "{shown}");
    assert_eq!(world.bills().await, 2);
}

#[tokio::test]
async fn a_conversation_takes_answers_and_other_words_until_it_is_left() {
    let setting = Setting {
        model: Some(Arc::new(Rehearsed::default())),
        ..Setting::default()
    };
    let world = World::open_with(setting).await;
    let lines = vec![
        "two bills",
        "n",
        "What's in the beauty category?",
        "yes",
        "exit",
        "never said",
    ];
    let (ending, shown) = hold(&world.agent.url(), None, true, lines).await;
    assert_eq!(ending, Ending::Done, "{shown}");
    let prompts: Vec<&str> = shown
        .lines()
        .filter(|l| l.starts_with("> ") || l.starts_with("[y/n] "))
        .collect();
    assert_eq!(
        prompts,
        [
            "> two bills",
            "[y/n] n",
            "[y/n] What's in the beauty category?",
            "[y/n] yes",
            "> exit"
        ],
        "{shown}"
    );
    assert_eq!(
        world.text("select customer_name from shop.bills").await,
        "Aline",
        "no to the first, yes to the second"
    );
    assert_eq!(
        world
            .number("select count(*) from agent.agent_sessions")
            .await,
        1
    );
    assert_eq!(
        world
            .number("select count(*) from agent.agent_messages where text = 'never said'")
            .await,
        0
    );
}

#[tokio::test]
async fn what_fails_is_one_sentence_and_exit_code_1() {
    let setting = Setting {
        model: Some(Arc::new(Rehearsed::default())),
        ..Setting::default()
    };
    let world = World::open_with(setting).await;
    let url = world.agent.url();
    let (ending, shown) = hold(&url, Some("break down"), false, vec![]).await;
    assert_eq!(ending.code(), 1, "{shown}");
    assert!(
        shown.lines().count() == 1 && !shown.contains("relation"),
        "{shown}"
    );
    let (ending, shown) = hold(&url, Some(&"é".repeat(2001)), false, vec![]).await;
    assert_eq!(
        (ending, shown.as_str()),
        (
            Ending::Failed,
            "{The message has more than 2,000 characters. Send a shorter one, or several.}\n"
        )
    );
}

#[tokio::test]
async fn what_comes_from_elsewhere_cannot_play_with_the_terminal() {
    let setting = Setting {
        model: Some(Arc::new(Rehearsed::default())),
        ..Setting::default()
    };
    let world = World::open_with(setting).await;
    let (_, shown) = hold(&world.agent.url(), Some("show off"), false, vec![]).await;
    assert_eq!(shown, "plain [2Jwords\n");
}

#[tokio::test]
async fn ctrl_c_leaves_and_the_work_goes_on() {
    let model = Rehearsed::default();
    let world = World::open_with(Setting {
        model: Some(Arc::new(model.clone())),
        ..Setting::default()
    })
    .await;
    let url = world.agent.url();
    let (ending, shown) = hold(&url, None, true, vec!["^C"]).await;
    assert_eq!(ending, Ending::Done, "{shown}");
    let (ending, shown) = hold(&url, Some(BILL), true, vec!["^C"]).await;
    assert_eq!(ending, Ending::QuestionOpen);
    assert!(shown.contains("agent chat --session s \"yes\""), "{shown}");

    // In the middle of an answer.
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
        let begun = "select count(*) from agent.runs where status = 'running'";
        until("the run has begun", || async {
            world.number(begun).await == 1
        })
        .await;
        ctrl_c.notify_one();
    };
    let (ending, ()) = tokio::join!(chat(&url, options, &mut io), pressed);
    assert_eq!(ending.expect("it was held").code(), 130);
    assert!(io.shown.contains("goes on without you"), "{}", io.shown);
    model.go_on();
    let said = format!("{BEGUN}{ENDED}");
    let answers = "select coalesce((select text from agent.agent_messages where role = 'assistant' and text like '%There you are.'), '')";
    until("the answer is in the transcript", || async {
        world.text(answers).await == said
    })
    .await;
}

/// A way to the agent on which the first connections break after so many bytes of answer.
async fn breaking(agent: SocketAddr, breaks: Vec<usize>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = local_url(listener.local_addr().expect("an address"));
    let used = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&used);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let limit = breaks.get(counted.fetch_add(1, Ordering::SeqCst)).copied();
            tokio::spawn(relay(client, agent, limit.unwrap_or(usize::MAX)));
        }
    });
    (url, used)
}

async fn relay(client: TcpStream, agent: SocketAddr, limit: usize) {
    let server = TcpStream::connect(agent).await.expect("the agent");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let forth = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        std::future::pending::<()>().await;
    };
    let back = async {
        let (mut left, mut piece) = (limit, vec![0; 4096]);
        while left > 0 {
            let room = left.min(piece.len());
            match from_server.read(&mut piece[..room]).await {
                Ok(read) if read > 0 && to_client.write_all(&piece[..read]).await.is_ok() => {
                    left -= read;
                }
                _ => return,
            }
        }
    };
    // Dropping both halves closes the connection wherever it is.
    tokio::select! {
        () = forth => {}
        () = back => {}
    }
}

#[tokio::test]
async fn a_lost_stream_is_taken_up_where_it_stopped() {
    let world = World::open().await;
    // Before a byte, within the headers, within the first frames, within the text.
    for (n, breaks) in [
        vec![0, 0],
        vec![40],
        vec![700],
        vec![1100, 600],
        vec![1300, 700],
    ]
    .into_iter()
    .enumerate()
    {
        let (url, used) = breaking(world.agent.address, breaks.clone()).await;
        let message = ["flour", "rice", "milk", "eggs", "soap"][n];
        let (ending, shown) = hold(
            &url,
            Some(&format!("Increase {message} by 1")),
            false,
            vec![],
        )
        .await;
        assert_eq!(ending, Ending::Done, "{breaks:?}: {shown}");
        let answer = world.text("select text from agent.agent_messages where role = 'assistant' order by created_at desc, id desc limit 1").await;
        assert!(
            shown.ends_with(&format!("}}\n{answer}\n")),
            "{breaks:?}: whole and once: {shown} for {answer}"
        );
        assert!(
            used.load(Ordering::SeqCst) > breaks.len(),
            "{breaks:?}: nothing broke"
        );
    }
    assert_eq!(
        world.number("select count(*) from agent.runs").await,
        5,
        "each message was worked on once"
    );
    assert_eq!(
        world
            .number("select count(*) from shop.audit_log where tool = 'inventory_update_item'")
            .await,
        5
    );
}

#[tokio::test]
async fn an_address_is_told_from_a_wrong_one() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let free = local_url(unused.local_addr().expect("an address"));
    drop(unused);
    assert!(!is_running(&free).await.expect("nobody"));

    let other = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = local_url(other.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = other.accept().await {
            let mut request = vec![0; 1024];
            let _ = client.read(&mut request).await;
            let _ = client
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                .await;
        }
    });
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
