//! Somebody else's tool server as a program: over standard input and output, or over HTTP when `--http` names an address, which it prints
//! then. Killed by tests, or by its own tool.

use std::path::PathBuf;

use e2e::program::{PAUSE_FILE, Pause};
use e2e::world::foreign::{Book, Foreign, Manners};
use migrations::settings::Reader;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = words.iter().position(|w| w == name)?;
        words.get(at + 1).cloned()
    };
    let book = after("--book").ok_or_else(|| anyhow::anyhow!("--book is missing"))?;
    let pause = Reader::environment().optional(PAUSE_FILE);
    let manners = Manners {
        legacy: words.iter().any(|w| w == "--legacy"),
        pause: pause.map(|file| Pause::by(PathBuf::from(file))),
        ..Manners::default()
    };
    let foreign = Foreign::new(Book::at(&PathBuf::from(book)), manners);
    let Some(bind) = after("--http") else {
        #[expect(clippy::print_stderr, reason = "what a server says on the side")]
        {
            eprintln!("here I am");
        }
        foreign.over_stdio().await;
        return Ok(());
    };
    let listener = TcpListener::bind(bind).await?;
    #[expect(clippy::print_stdout, reason = "the test reads the address")]
    {
        println!("http://{}/mcp", listener.local_addr()?);
    }
    foreign.serve(listener).await;
    Ok(())
}
