//! Clients that do not read: they are cut off, cost nothing meanwhile, and lose nothing.

use std::sync::Arc;

use agent::models::interpreter::Interpreter;
use agent::models::{Answering, Message, Model, ModelAnswer, ModelRequest, TextSink};
use e2e::world::{Setting, World, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{get, read, well_formed};

/// More than the sockets of two ends (4 MiB and a little on Linux) and the server's own buffers hold together.
const LONG: usize = 6 * 1024 * 1024;
const CLIENTS: usize = 4;

/// The interpreter, but "at length" is answered with [`LONG`] bytes.
#[derive(Debug)]
struct Talkative;

impl Model for Talkative {
    fn name(&self) -> &'static str {
        "talkative"
    }

    fn answer<'a>(
        &'a self,
        request: &'a ModelRequest,
        sink: &'a mut dyn TextSink,
    ) -> Answering<'a> {
        Box::pin(async move {
            match request.messages.last() {
                Some(Message::User { text }) if text == "at length" => {
                    let text = "blah ".repeat(LONG / 5);
                    sink.delta(&text);
                    Ok(ModelAnswer {
                        text,
                        ..ModelAnswer::default()
                    })
                }
                _ => Interpreter.answer(request, sink).await,
            }
        })
    }
}

/// Asks, reads the beginning, and then reads no more.
async fn asks_and_turns_away(world: &World, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut client = socket
        .connect(world.agent.address)
        .await
        .expect("connected");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n",
        world.agent.address
    );
    client.write_all(request.as_bytes()).await.expect("asked");
    let mut seen = [0; 12];
    client.read_exact(&mut seen).await.expect("the beginning");
    assert_eq!(&seen, b"HTTP/1.1 200");
    client
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off_and_comes_back_for_the_rest() {
    let world = World::open_with(Setting {
        model: Some(Arc::new(Talkative)),
        variables: [
            ("AGENT_HEARTBEAT_SECONDS", "1".to_owned()),
            ("DATABASE_POOL_SIZE", "3".to_owned()),
        ]
        .into(),
        ..Setting::default()
    })
    .await;
    let path = "/agent/chat/stream?session_id=s&message=at%20length&request_id=k";
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(asks_and_turns_away(&world, path).await);
    }
    until("the answer is stored", || async {
        world.text("select status from agent.runs limit 1").await == "done"
    })
    .await;
    // More of them than connections to the database, and yet it has time for others.
    let other = world.say("t", "How much flour is left?").await;
    assert!(other.response.contains("50"), "{}", other.response);

    // Whoever writes to a connection that the other end has let go of is told so.
    for client in clients {
        until("the client is cut off", || async {
            client
                .try_write(b" ")
                .is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock)
        })
        .await;
    }
    let whole = read(get(&world, path)).await;
    well_formed(&whole);
    let back = read(get(&world, path).header("last-event-id", &whole.ids()[0])).await;
    assert_eq!(back.ids(), whole.ids()[1..]);
    assert_eq!(back.said().len(), LONG / 5 * 5);
}
