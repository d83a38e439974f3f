//! Somebody else's tool server as a program: over standard input and output, or over HTTP where `--http` or a variable names an address;
//! it prints its own then. Killed by tests, or by its own tool.

use std::path::PathBuf;

use e2e::program::{FOREIGN_BIND, FOREIGN_BOOK, PAUSE_FILE, Pause};
use e2e::world::foreign::{Book, Foreign, Manners};
use migrations::settings::Reader;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let settings = Reader::environment();
    let after = |name: &str, variable: &str| {
        let at = words.iter().position(|w| w == name);
        let word = at.and_then(|at| words.get(at + 1).cloned());
        word.or_else(|| settings.optional(variable))
    };
    let book = after("--book", FOREIGN_BOOK).ok_or_else(|| anyhow::anyhow!("--book is missing"))?;
    let pause = settings.optional(PAUSE_FILE);
    let manners = Manners {
        legacy: words.iter().any(|w| w == "--legacy"),
        pause: pause.map(|file| Pause::by(PathBuf::from(file))),
        ..Manners::default()
    };
    let foreign = Foreign::new(Book::at(&PathBuf::from(book)), manners);
    let Some(bind) = after("--http", FOREIGN_BIND) else {
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
