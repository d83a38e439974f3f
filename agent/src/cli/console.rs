//! The real terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Input, Terminal};

/// Standard input, output and error of this process.
///
/// Lines are read by a thread of its own: a read of standard input cannot be given up, so a runtime that waited for it could not stop
/// before the next Enter.
#[derive(Debug)]
pub struct Console {
    can_ask: bool,
    lines: Option<mpsc::Receiver<io::Result<String>>>,
}

impl Console {
    /// The process's terminal. Nothing is read before the first line is asked for.
    #[must_use]
    pub fn new() -> Console {
        Console {
            can_ask: io::stdin().is_terminal(),
            lines: None,
        }
    }
}

impl Default for Console {
    fn default() -> Console {
        Console::new()
    }
}

impl Terminal for Console {
    fn can_ask(&self) -> bool {
        self.can_ask
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn note(&mut self, line: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{line}")
    }

    fn read_line<'a>(&'a mut self, prompt: &'a str) -> BoxFuture<'a, io::Result<Input>> {
        async move {
            if self.can_ask {
                let mut err = io::stderr();
                err.write_all(prompt.as_bytes())?;
                err.flush()?;
            }
            let lines = self.lines.get_or_insert_with(read_lines);
            match lines.recv().await {
                Some(line) => line.map(Input::Line),
                None => Ok(Input::End),
            }
        }
        .boxed()
    }

    fn interrupted(&self) -> BoxFuture<'static, ()> {
        async {
            if tokio::signal::ctrl_c().await.is_err() {
                // Ctrl-C cannot be watched here; then it ends the process as usual.
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

/// One line ahead at most; the thread ends with the input or with the receiver.
fn read_lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let failed = line.is_err();
            // What is pasted in another encoding is read as far as it goes: the conversation does not end over it.
            let line = line.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            if sender.blocking_send(line).is_err() || failed {
                break;
            }
        }
    });
    lines
}
