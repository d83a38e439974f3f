//! The commands of the `agent` binary, and the conversation that `agent chat` holds in a terminal.
//!
//! `agent chat` is a client like any other: it talks HTTP to a running agent. Starting one when none runs is the caller's part.

mod console;
mod events;
mod talk;

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum as _};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};

pub use self::console::Console;
use self::talk::{Talk, TalkError};
use crate::config::ApiKey;
use crate::http::health::{Health, SERVICE};
use crate::stub_provider::{Fault, FaultKind};

/// How long a running agent takes at most to say that it runs.
const HEALTH_WAIT: Duration = Duration::from_secs(3);
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// A stream that is silent for three heartbeats is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Serves the chat page, the HTTP API and the runs; or talks to it from here.
#[derive(Debug, Parser)]
#[command(name = "agent", version, about)]
pub struct Arguments {
    /// What to do; serves when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the binary does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say something and read the answer; without a message, hold a conversation.
    ///
    /// Exit codes: 0 answered, 1 it could not be done, 2 wrong arguments, 3 a question is left open, 130 interrupted.
    Chat(ChatArguments),
    /// Serve a language model that says what a script says, to rehearse with: what people get when a provider is slow, full or gone.
    ///
    /// It speaks OpenAI's Chat Completions and refuses what OpenAI refuses. GET /requests shows what it was asked, PUT /script and
    /// PUT /faults change what it does.
    StubProvider(StubArguments),
}

/// The arguments of `agent stub-provider`.
#[derive(Debug, Args)]
pub struct StubArguments {
    /// Where it listens: an address of this machine alone, because whoever reaches it can read what it was asked.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8010")]
    pub bind: SocketAddr,
    /// What it says: a JSON file of at most 1 MiB; without one it says what it heard.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// What is wrong with its answers, such as cut, or cut=2 for the first two only. Can be given several times: the first fault
    /// until it is used up, then the next. With --help: which faults there are.
    #[arg(long = "fault", value_name = "FAULT[=TIMES]", long_help = fault_help())]
    pub faults: Vec<Fault>,
}

/// Every fault with what it is.
fn fault_help() -> String {
    let mut help = "What is wrong with its answers: always, or with =2 the first two only. Can be given several times: the first fault until it is \
        used up, then the next. A fault about calls leaves answers without calls alone.\n"
        .to_owned();
    for kind in FaultKind::all() {
        if let Some(value) = kind.to_possible_value() {
            let what = value.get_help().map(ToString::to_string);
            let _ = write!(
                help,
                "\n  {:<24} {}",
                value.get_name(),
                what.unwrap_or_default()
            );
        }
    }
    help
}

/// The arguments of `agent chat`.
#[derive(Debug, Args)]
pub struct ChatArguments {
    /// What to say. Reads messages line by line when absent.
    pub message: Vec<String>,
    /// The conversation to go on with; a new one when absent.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Where the agent runs; where `AGENT_BIND` says when absent.
    #[arg(
        long,
        help = "Where the agent runs, such as http://127.0.0.1:8000; where AGENT_BIND says when absent"
    )]
    pub url: Option<String>,
}

/// What a conversation in a terminal begins with.
#[derive(Debug, Clone, Default)]
pub struct ChatOptions {
    /// One message, after whose answer it is over; a conversation when absent.
    pub message: Option<String>,
    /// The conversation to go on with; a new one when absent.
    pub session_id: Option<String>,
    /// What the agent is shown, where it wants to know who asks.
    pub token: Option<ApiKey>,
}

impl From<ChatArguments> for ChatOptions {
    fn from(arguments: ChatArguments) -> ChatOptions {
        let message = arguments.message.join(" ");
        ChatOptions {
            message: (!message.is_empty()).then_some(message),
            session_id: arguments.session,
            token: None,
        }
    }
}

/// The URL of an agent that listens on `bind`, for a client on the same machine.
#[must_use]
pub fn local_url(bind: SocketAddr) -> String {
    let mut reachable = bind;
    if bind.ip().is_unspecified() {
        // Everything that listens everywhere can be reached over loopback.
        reachable.set_ip(match bind {
            SocketAddr::V4(_) => [127, 0, 0, 1].into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{reachable}")
}

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Answered, or left by the person.
    Done,
    /// It could not be done; the person was told why.
    Failed,
    /// A question is left open; the person was told how to answer it.
    QuestionOpen,
    /// Interrupted while a message was being worked on.
    Interrupted,
}

impl Ending {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Ending::Done => 0,
            Ending::Failed => 1,
            Ending::QuestionOpen => 3,
            Ending::Interrupted => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> ExitCode {
        ExitCode::from(ending.code())
    }
}

/// Why a conversation could not be held. The text is for the person.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Something answers at the address, but not the agent.
    #[error("{0} is used by another program. Set AGENT_BIND or --url to the agent's address.")]
    SomethingElse(String),
    /// Not an address.
    #[error("{0} is not an address. Write it like http://127.0.0.1:8000.")]
    BadUrl(String),
    /// The terminal cannot be read or written.
    #[error("The terminal cannot be used. Try again in another one")]
    Terminal(#[from] io::Error),
    /// No HTTP client could be made.
    #[error("The connection cannot be set up: {0}. Try again.")]
    Client(reqwest::Error),
}

/// What came from the keyboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A line, without its end.
    Line(String),
    /// There is no more.
    End,
}

/// Where a conversation is held: the real terminal, or a scripted one in tests.
pub trait Terminal: Send {
    /// Whether somebody sits at it: input that is a file or a pipe cannot be asked.
    fn can_ask(&self) -> bool;
    /// Writes a piece of an answer.
    ///
    /// # Errors
    /// When the output is closed.
    fn write(&mut self, text: &str) -> io::Result<()>;
    /// Writes a line about the conversation, which is not part of an answer.
    ///
    /// # Errors
    /// When the output is closed.
    fn note(&mut self, line: &str) -> io::Result<()>;
    /// Waits for a line, after a prompt if somebody sits there.
    fn read_line<'a>(&'a mut self, prompt: &'a str) -> BoxFuture<'a, io::Result<Input>>;
    /// Waits for Ctrl-C.
    fn interrupted(&self) -> BoxFuture<'static, ()>;
}

/// Whether the agent runs at `base_url`; `false` when nothing answers there.
///
/// # Errors
/// [`CliError::SomethingElse`] when another program answers, [`CliError::BadUrl`].
pub async fn is_running(base_url: &str) -> Result<bool, CliError> {
    let address = address(base_url)?;
    let request = client()?
        .get(format!("{address}/healthz"))
        .timeout(HEALTH_WAIT);
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_builder() => return Err(CliError::BadUrl(base_url.to_owned())),
        Err(error) if error.is_connect() => return Ok(false),
        Err(_) => return Err(CliError::SomethingElse(address)),
    };
    match answer.json::<Health>().await {
        Ok(health) if health.service == SERVICE => Ok(true),
        _ => Err(CliError::SomethingElse(address)),
    }
}

/// Talks to the agent at `base_url`: one message, or a conversation until the input ends or the person says `exit`.
///
/// # Errors
/// [`CliError`] when no conversation could be held at all. Whatever goes wrong within it is told, and ends in [`Ending::Failed`].
pub async fn chat(
    base_url: &str,
    options: ChatOptions,
    io: &mut dyn Terminal,
) -> Result<Ending, CliError> {
    let client = client_as(options.token.as_ref())?;
    let mut talk = Talk::new(client, address(base_url)?, options.session_id);
    let one_shot = options.message.is_some();
    let interrupted = io.interrupted();
    let ended = {
        let conversation = converse(&mut talk, options.message, io);
        tokio::select! {
            ended = conversation => Some(ended?),
            () = interrupted => None,
        }
    };
    if let Some(ending) = ended {
        return Ok(ending);
    }
    io.note("")?;
    if talk.is_working() {
        io.note("Left. What was asked for goes on without you.")?;
    }
    if talk.question().is_some() {
        tell_how_to_answer(&talk, io)?;
        return Ok(Ending::QuestionOpen);
    }
    Ok(if one_shot || talk.is_working() {
        Ending::Interrupted
    } else {
        Ending::Done
    })
}

/// Runs until the input ends; a one-shot conversation until nothing is left to ask.
async fn converse(
    talk: &mut Talk,
    message: Option<String>,
    io: &mut dyn Terminal,
) -> Result<Ending, CliError> {
    let one_shot = message.is_some();
    let mut ending = Ending::Done;
    match message {
        Some(message) => ending = told(talk.say(&message, io).await, io)?,
        None if io.can_ask() => io.note("Say what should be done. Ctrl-D or \"exit\" leaves.")?,
        None => {}
    }
    loop {
        let question = talk.question().map(ToOwned::to_owned);
        if one_shot && (question.is_none() || !io.can_ask()) {
            break;
        }
        if let Some(question) = &question
            && !talk.has_just_said(question)
        {
            io.write(&format!("{question}\n"))?;
        }
        let prompt = if question.is_some() { "[y/n] " } else { "> " };
        let Input::Line(line) = io.read_line(prompt).await? else {
            break;
        };
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let word = line.to_lowercase();
        let turn = match (word.as_str(), question.is_some()) {
            ("exit" | "quit", _) => break,
            ("y" | "yes", true) => talk.decide(true, io).await,
            ("n" | "no", true) => talk.decide(false, io).await,
            _ => talk.say(line, io).await,
        };
        ending = told(turn, io)?;
    }
    if talk.question().is_some() {
        if one_shot && !io.can_ask() {
            tell_question(talk, io)?;
        }
        tell_how_to_answer(talk, io)?;
        return Ok(Ending::QuestionOpen);
    }
    Ok(ending)
}

/// Tells why a turn failed.
fn told(turn: Result<(), TalkError>, io: &mut dyn Terminal) -> Result<Ending, CliError> {
    match turn {
        Ok(()) => Ok(Ending::Done),
        Err(TalkError::Told(sentence)) => {
            io.note(&sentence)?;
            Ok(Ending::Failed)
        }
        Err(TalkError::Terminal(error)) => Err(CliError::Terminal(error)),
    }
}

fn tell_question(talk: &Talk, io: &mut dyn Terminal) -> Result<(), CliError> {
    if let Some(question) = talk.question()
        && !talk.has_just_said(question)
    {
        io.write(&format!("{question}\n"))?;
    }
    Ok(())
}

fn tell_how_to_answer(talk: &Talk, io: &mut dyn Terminal) -> Result<(), CliError> {
    let session_id = talk.session_id().unwrap_or_default();
    io.note(&format!(
        "Nothing is done yet. To answer: agent chat --session {session_id} \"yes\""
    ))?;
    Ok(())
}

fn address(base_url: &str) -> Result<String, CliError> {
    let url = reqwest::Url::parse(base_url).map_err(|_| CliError::BadUrl(base_url.to_owned()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(CliError::BadUrl(base_url.to_owned()));
    }
    Ok(base_url.trim_end_matches('/').to_owned())
}

fn client() -> Result<reqwest::Client, CliError> {
    client_as(None)
}

/// A client that shows this token with every request.
fn client_as(token: Option<&ApiKey>) -> Result<reqwest::Client, CliError> {
    let mut headers = HeaderMap::new();
    // Visible ASCII can stand in a header.
    if let Some(token) = token
        && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
    {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    // Building a client panics when no crypto provider is installed. Another one, installed before, is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_WAIT)
        .read_timeout(SILENCE_MAX)
        .default_headers(headers)
        // The agent is a neighbour: a proxy for the outside world cannot reach it.
        .no_proxy()
        .build()
        .map_err(CliError::Client)
}

#[cfg(test)]
mod scenes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_need_no_quotes_and_serving_needs_no_word() {
        let read = |line: &str| Arguments::try_parse_from(line.split(' '));
        assert!(read("agent").unwrap().command.is_none());
        let Some(Command::Chat(chat)) = read("agent chat add 20kg sugar --session s1")
            .unwrap()
            .command
        else {
            panic!("not chat");
        };
        let options = ChatOptions::from(chat);
        assert_eq!(options.message.as_deref(), Some("add 20kg sugar"));
        assert_eq!(options.session_id.as_deref(), Some("s1"));
        let Some(Command::Chat(chat)) = read("agent chat").unwrap().command else {
            panic!("not chat");
        };
        assert_eq!(ChatOptions::from(chat).message, None);
        assert!(read("agent talk").is_err());
    }

    #[test]
    fn faults_are_named_on_the_command_line_in_order() {
        let read = |line: &str| Arguments::try_parse_from(line.split(' '));
        let command = read("agent stub-provider --fault cut=2 --fault hang").map(|a| a.command);
        let Ok(Some(Command::StubProvider(stub))) = command else {
            panic!("{command:?}");
        };
        assert_eq!(stub.bind.to_string(), "127.0.0.1:8010");
        let twice: Fault = "cut=2".parse().unwrap();
        assert_eq!(stub.faults, [twice, Fault::always(FaultKind::Hang)]);
        let refused = read("agent stub-provider --fault slow")
            .unwrap_err()
            .to_string();
        assert!(refused.contains("there is no fault \"slow\""), "{refused}");
        let help = read("agent stub-provider --help").unwrap_err().to_string();
        for kind in FaultKind::all() {
            assert!(
                help.contains(&format!("  {kind} ")),
                "{kind} is not in the help"
            );
        }
    }

    #[test]
    fn an_agent_that_listens_everywhere_is_reached_over_loopback() {
        for (bind, url) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "http://127.0.0.1:8000"),
            ("[::]:8000", "http://[::1]:8000"),
            ("192.168.1.4:80", "http://192.168.1.4:80"),
        ] {
            assert_eq!(local_url(bind.parse().unwrap()), url);
        }
    }
}
