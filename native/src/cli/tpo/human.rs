//! A person who is asked in the terminal which response is better.

use crate::say;
use crate::terminal::{self, line, shown};
use periapt_core::reward::{Ask, Choice};
use std::io::BufRead;

/// Asks in the terminal.
pub fn ask() -> Ask<'static> {
    Box::new(|query, a, b| {
        let choice = choose(query, a, b);
        Box::pin(async move { choice })
    })
}

fn choose(query: &str, a: &str, b: &str) -> Result<Choice, String> {
    let mut input = std::io::stdin().lock();
    say!(
        "\n--- {}\n\n--- 1\n{}\n\n--- 2\n{}\n",
        line(&query),
        shown(a),
        shown(b)
    );
    loop {
        terminal::prompt("Which is better? 1, 2, or = for neither: ");
        let mut line = String::new();
        match input.read_line(&mut line) {
            Ok(0) => return Err("standard input ended".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        match line.trim() {
            "1" => return Ok(Choice::First),
            "2" => return Ok(Choice::Second),
            "=" => return Ok(Choice::Same),
            _ => {}
        }
    }
}
