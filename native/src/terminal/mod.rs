//! The one place that writes to standard output and standard error, and the rule for text from outside.
//!
//! Text from outside is whatever a file, a model, a server or a name brings: it must not give orders to the terminal it is
//! shown on. [`shown`] and [`line()`] make control characters visible, [`Report`] does so with all that goes through it,
//! and [`Answer`] only where it goes to a terminal: in a pipe or a file an answer is data and passes byte for byte.
//! Everything on standard error is made harmless, whoever reads it, and holds no secret of the environment
//! (`secrets`). Standard error that is closed or full changes nothing; standard output that hangs up ends the
//! program quietly ([`hung_up`]), and one that is full is an error.
//!
//! A character is judged alone, so that a sequence that comes in pieces, token by token, is harmless as well: the
//! character that would begin it is never sent.

mod clean;
mod secrets;

pub use clean::{json_line, line, shown};
pub use secrets::{hidden, hide};

use clean::{Cleaner, Keep};
use std::io::{self, ErrorKind, IsTerminal, StdoutLock, Write};
use std::path::Path;

/// Says a line on standard error.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::terminal::say(&format!($($arg)*)) };
}

/// Says a line on standard error: made harmless, without secrets, and whether it arrives changes nothing.
pub fn say(text: &str) {
    to_stderr(&format!("{text}\n"));
}

/// The same without the line's end, before an answer is typed.
pub fn prompt(text: &str) {
    to_stderr(text);
}

fn to_stderr(text: &str) {
    let mut err = io::stderr().lock();
    // Nobody is there to hear of it, and the run's result is another one.
    let _ = err.write_all(shown(&hidden(text)).as_bytes());
    let _ = err.flush();
}

/// What the log writes to: a write is an event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        // These events are dumps of what is sent and received, with tokens cut over several of them.
        if !text.contains("TRACE ureq_proto") {
            to_stderr(&text);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether somebody sees standard error as it is written.
#[must_use]
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person types and reads here.
#[must_use]
pub fn is_conversation() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A panic is a fault of this program: it says so in a line, with what helps to find it, and main ends with exit code 1.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or(payload.downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map(ToString::to_string);
        say(&format!(
            "periapt: a fault of this program, please report it: panicked at {}: {}",
            place.unwrap_or_default(),
            message.unwrap_or("no message")
        ));
        let trace = std::backtrace::Backtrace::capture();
        if trace.status() == std::backtrace::BacktraceStatus::Captured {
            say(&trace.to_string());
        }
    }));
}

/// Standard output's own failure, to be told from a file's or a connection's.
#[derive(Debug, thiserror::Error)]
#[error("cannot write standard output: {0}")]
struct StdoutError(io::Error);

/// An error of standard output, marked as such.
#[must_use]
pub fn own(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, StdoutError(error)),
    }
}

/// Whether standard output's reader hung up.
#[must_use]
pub fn hung_up(error: &io::Error) -> bool {
    let inner = error.get_ref();
    error.kind() == ErrorKind::BrokenPipe && inner.is_some_and(|inner| inner.is::<StdoutError>())
}

/// Writes what is left for standard output.
///
/// # Errors
///
/// Where it is full.
pub fn finish() -> io::Result<()> {
    io::stdout().flush().map_err(own)
}

/// Standard output, for what people read: no control character passes but line breaks and tabs.
#[derive(Debug)]
pub struct Report(Cleaner<Stdout>);

/// Standard output, for what was asked for itself: exact, but on a terminal, where no control character passes.
#[derive(Debug)]
pub struct Answer {
    out: Cleaner<Stdout>,
    exact: bool,
}

#[derive(Debug)]
struct Stdout(StdoutLock<'static>);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(own)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(own)
    }
}

/// Standard output for a report.
#[must_use]
pub fn report() -> Report {
    let out = Stdout(io::stdout().lock());
    Report(Cleaner::new(out, Keep::Nothing))
}

/// Standard output for an answer.
#[must_use]
pub fn answer() -> Answer {
    let out = io::stdout().lock();
    Answer {
        exact: !out.is_terminal(),
        out: Cleaner::new(Stdout(out), Keep::Directions),
    }
}

/// Whether colours may go to standard output, and where they do, they alone: text between them has to be [`shown`].
pub fn coloured() -> impl Write {
    struct Coloured(anstream::Stdout);
    impl Write for Coloured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes).map_err(own)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush().map_err(own)
        }
    }
    Coloured(anstream::stdout())
}

impl Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Answer {
    /// A path on a line of its own, for a program to take up: its very bytes.
    ///
    /// # Errors
    ///
    /// Where standard output hung up or is full.
    pub fn path(&mut self, path: &Path) -> io::Result<()> {
        match self.exact {
            true => self.write_all(path.as_os_str().as_encoded_bytes())?,
            false => write!(self, "{}", line(&path.display()))?,
        }
        writeln!(self)
    }
}

impl Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.exact {
            true => self.out.inner().write(bytes),
            false => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Prints a line of JSON, whose strings hold no control character as it is.
///
/// # Errors
///
/// Where standard output hung up or is full.
pub fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    let mut out = Stdout(io::stdout().lock());
    json_line(&mut out, value)?;
    out.flush()
}
