//! `periapt chat`: in a terminal of its own, and line by line.

use crate::common::place::Place;
use crate::common::{expect_failure, stderr, str};
use serde_json::{Value, json};
use std::fs;
use std::process::Output;

/// What the tiny model is asked like: with plain prompts it has nothing to say.
const HOW: [&str; 8] = [
    "--device",
    "cpu",
    "--prompt-set",
    "paper",
    "--prefer",
    "concise",
    "--max-new-tokens",
    "12",
];

impl Place {
    fn chat(&self, args: &[&str], lines: &str) -> Output {
        let args = [&["chat"], args, &HOW[2..]].concat();
        self.run_with(&args, lines.as_bytes(), &[])
    }

    fn generated(&self, args: &[&str], question: &str) -> String {
        let args = [&["generate", "--json"], &HOW[2..], args, &[question]].concat();
        let answer = self.ok(&args, b"");
        answer["text"].as_str().unwrap().to_owned()
    }

    fn saved(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }
}

/// Without the last digits of numbers: serde_json may read one as its neighbour.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(rounded).collect(),
        Value::Object(all) => {
            let all = all.iter().map(|(key, value)| (key.clone(), rounded(value)));
            Value::Object(all.collect())
        }
        Value::Number(number) if number.is_f64() => {
            json!(format!("{:.9e}", number.as_f64().unwrap()))
        }
        value => value.clone(),
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn each_line_is_a_message_answered_as_generate_answers_it() {
    let place = Place::new();
    let first = place.generated(&[], "Why so?");
    let history = json!([{ "role": "user", "content": "Why so?" }, { "role": "assistant", "content": first }]);
    let second = place.generated(&["--history", &history.to_string()], "/And then?");
    let base = place.generated(
        &["--method", "base", "--history", &history.to_string()],
        "/And then?",
    );
    assert!(!first.is_empty() && base != second);

    let output = place.chat(&[], "Why so?\n\n//And then?\n");
    assert_eq!(
        stdout(&output),
        format!("{first}\n{second}\n"),
        "{}",
        stderr(&output)
    );
    assert!(output.status.success());

    let compared = place.chat(&[], "Why so?\n//And then?\n/compare\n");
    let shown = stdout(&compared);
    let begin = format!("{first}\n{second}\n--- base ---\n{base}\n[");
    assert!(shown.starts_with(&begin), "{shown}");
    let aligned = format!("]\n\n--- amulet (k = 4.6487) ---\n{second}\n[");
    assert!(shown.contains(&aligned), "{shown}");
}

#[test]
fn commands_change_how_the_next_question_is_answered() {
    let place = Place::new();
    let of = |args: &[&str]| place.generated(args, "Why so?");
    let (la, base) = (of(&["--method", "la", "--strength", "7"]), {
        let args = [
            "generate",
            "--json",
            "--prompt-set",
            "paper",
            "-n",
            "12",
            "--system",
            "S",
            "Why so?",
        ];
        place.ok(&args, b"")["text"].as_str().unwrap().to_owned()
    });
    let amulet = of(&[]);
    assert!(la != amulet && la != base);
    let lines = "/strength 7\nWhy so?\n/method off\n/retry\n/undo\n/prefer off\n/system S\nWhy so?\n/status\n";
    let output = place.chat(&[], lines);
    assert_eq!(
        stdout(&output),
        format!("{la}\n{amulet}\n{base}\n"),
        "{}",
        stderr(&output)
    );
    let said = stderr(&output);
    for words in [
        "la at k = 7.0000",
        "amulet at k = 4.6",
        "taken away: Why so?",
        "the system prompt: S",
        "base, without",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Where tokens are drawn, another try is another answer.
    let drawn = place.chat(&["--temperature", "2"], "Why so?\n/retry\n/retry\n");
    let shown = stdout(&drawn);
    let answers: std::collections::BTreeSet<&str> = shown.lines().collect();
    assert!(answers.len() > 1, "{shown}");
}

#[test]
fn what_went_wrong_is_told_and_the_chat_goes_on() {
    let place = Place::new();
    let lines = "/why\n/compare\n/undo\n/retry\n/refine\n/save x.json\n/unod\n/strength much\n/strength -1\n/method beam\n\
                 /method magic\n/prefer a:NaN\n/load no-such.json\n/clear now\nWhy so?\n/load no-such.json\n";
    let output = place.chat(&[], lines);
    expect_failure(
        &["chat"],
        &output,
        1,
        &[
            "no answer yet",
            "no question yet",
            "nothing to undo",
            "perhaps /undo",
            "/strength much: no number",
            "strength = -1 is out of range",
            "there are base, pref",
            "all at once",
            "cannot read no-such.json",
            "/clear takes nothing",
            "not saved: /save FILE first",
            "15 of the lines could not be done",
        ],
    );
    assert_eq!(stdout(&output), place.generated(&[], "Why so?") + "\n");
}

#[test]
fn a_chat_that_outgrows_the_context_is_kept() {
    let place = Place::new();
    let file = place.text("long.json");
    let long = "w".repeat(150);
    let lines = format!("Why so?\n{long}\n/save {file}\n/undo\n{long}\n/clear\nWhy so?\n");
    let output = place.chat(&["--max-context", "150", "--system", "S"], &lines);
    let answer = place.generated(&["--system", "S"], "Why so?");
    assert_eq!(stdout(&output), format!("{answer}\n{answer}\n"));
    expect_failure(
        &["chat"],
        &output,
        1,
        &["context holds 150", "/undo takes", "2 of the lines"],
    );
    let turns = place.saved("long.json");
    assert_eq!(turns["turns"].as_array().unwrap().len(), 1);
    assert_eq!(turns["turns"][0]["question"], "Why so?");
}

#[test]
fn a_saved_chat_is_gone_on_with() {
    let place = Place::new();
    let (one, two) = (place.text("one.json"), place.text("two.json"));
    let output = place.chat(
        &[],
        &format!("Why so?\n/why\n/save {one}\nAnd?\n/compare\n/save\n"),
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains(" tokens, mean k"),
        "{}",
        stdout(&output)
    );
    let saved = place.saved("one.json");
    assert_eq!(saved["turns"].as_array().unwrap().len(), 2);
    let header = &saved["turns"][0]["aligned"]["header"];
    assert_eq!(header["model"]["sha256"].as_str().unwrap().len(), 64);
    assert!(saved["turns"][0]["aligned"]["tokens"][0]["log_prob"]["final"].is_f64());
    assert_eq!(saved["turns"][1]["base"]["header"]["method"], "base");
    // As it was, and goes on as if it had never ended.
    let again = place.chat(&["--load", &one], &format!("/save {two}\nGo on.\n"));
    assert!(again.status.success(), "{}", stderr(&again));
    let again_turns = &place.saved("two.json")["turns"];
    assert_eq!(rounded(again_turns), rounded(&saved["turns"]));
    let whole = place.chat(&[], "Why so?\nAnd?\nGo on.\n");
    assert_eq!(stdout(&whole).lines().last(), stdout(&again).lines().last());
    // Another file is not written over, and its own is.
    let other = place.chat(&["--load", &one], &format!("/save {two}\n/undo\n/save\n"));
    expect_failure(
        &["chat"],
        &other,
        1,
        &["is there already: choose another name"],
    );
    assert_eq!(
        place.saved("one.json")["turns"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn what_is_no_chat_is_refused_and_changes_nothing() {
    let place = Place::new();
    let file = place.text("chat.json");
    place.chat(&[], &format!("Why so?\n/save {file}\n"));
    let good = place.saved("chat.json");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut chat = good.clone();
        change(&mut chat);
        chat.to_string()
    };
    let whole = good.to_string();
    let cases = [
        (String::new(), "no JSON"),
        (whole[..whole.len() / 2].to_owned(), "no JSON"),
        ("[1]".to_owned(), "no chat"),
        ("{\"a\": 1}".to_owned(), "without the format"),
        (
            changed(&|chat| chat["format"] = json!("periapt-preferences")),
            "its format is",
        ),
        (changed(&|chat| chat["version"] = json!(2)), "version 2"),
        (changed(&|chat| chat["extra"] = json!(1)), "`extra`"),
        (
            changed(&|chat| chat["turns"][0]["question"] = json!(7)),
            "integer `7`",
        ),
        (
            changed(&|chat| chat["turns"][0]["aligned"]["tokens"][1]["index"] = json!(5)),
            "token 5 at the place of token 1",
        ),
        (
            changed(&|chat| chat["turns"][0]["aligned"]["tokens"][1]["top"] = json!({})),
            "missing field",
        ),
        (
            changed(&|chat| chat["turns"][0]["aligned"]["header"]["format"] = json!(9)),
            "format 9",
        ),
    ];
    for (text, says) in cases {
        let bad = place.write("bad.json", &text);
        let output = place.chat(&["--load", &bad], "Why so?\n");
        expect_failure(&["chat"], &output, 1, &[says, "bad.json"]);
        assert!(output.stdout.is_empty());
        // Within a chat, that stays as it is.
        let output = place.chat(&["--load", &file], &format!("/load {bad}\n/undo\n"));
        assert!(
            stderr(&output).contains("taken away: Why so?"),
            "{}",
            stderr(&output)
        );
    }
    let folder = str(place.path("").as_path()).to_owned();
    expect_failure(
        &["chat"],
        &place.chat(&["--load", &folder], ""),
        1,
        &["cannot read"],
    );
}

#[cfg(unix)]
mod terminal {
    use super::*;
    use crate::common::model_arg;
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Child, Command, Stdio};
    use std::sync::{Arc, Condvar, Mutex};
    use std::thread;
    use std::time::Duration;

    /// Runs a program in a terminal of its own, between standard input and output.
    const TERMINAL: &str =
        "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

    /// Longer than anything here takes: a test that hangs should say where.
    const PATIENCE: Duration = Duration::from_secs(120);

    /// What the editor sends before each prompt: that pasted text is to be marked.
    const READY: &str = "\x1b[?2004h";

    struct Talk {
        child: Child,
        seen: Arc<(Mutex<String>, Condvar)>,
        at: usize,
    }

    impl Talk {
        fn new(place: &Place, model: &str, args: &[&str]) -> Self {
            let mut child = Command::new("python3")
                .args([
                    "-c",
                    TERMINAL,
                    env!("CARGO_BIN_EXE_periapt"),
                    "chat",
                    "--model",
                ])
                .arg(place.path(model))
                .args(&HOW[..6])
                .args(args)
                .env("TERM", "xterm")
                .env("PERIAPT_CONFIG", "")
                .env("XDG_DATA_HOME", place.path("data"))
                .env("PERIAPT_MODELS", place.path("store"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let seen = Arc::new((Mutex::new(String::new()), Condvar::new()));
            let (mut out, shared) = (child.stdout.take().unwrap(), Arc::clone(&seen));
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = out.read(&mut bytes) {
                    // All that this test looks for is ASCII.
                    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                    shared.0.lock().unwrap().push_str(&text);
                    shared.1.notify_all();
                }
            });
            Self { child, seen, at: 0 }
        }

        fn keys(&mut self, keys: &str) {
            self.child
                .stdin
                .as_mut()
                .unwrap()
                .write_all(keys.as_bytes())
                .unwrap();
        }

        /// Waits until that is shown, after what was waited for before.
        fn expect(&mut self, words: &str) {
            let seen = self.seen.0.lock().unwrap();
            let missing = |seen: &mut String| !seen[self.at..].contains(words);
            let (seen, waited) = self
                .seen
                .1
                .wait_timeout_while(seen, PATIENCE, missing)
                .unwrap();
            assert!(
                !waited.timed_out(),
                "{words:?} does not come: {:?}",
                &seen[self.at..]
            );
            let found = seen[self.at..].find(words).unwrap();
            let after = self.at + found + words.len();
            drop(seen);
            self.at = after;
        }

        /// Types a line, at the prompt.
        fn line(&mut self, line: &str) {
            self.expect(READY);
            self.keys(&format!("{line}\r"));
        }

        fn ended(mut self) -> String {
            let status = self.child.wait().unwrap();
            let seen = self.seen.0.lock().unwrap().clone();
            assert!(status.success(), "{seen}");
            seen
        }
    }

    #[test]
    fn a_conversation_in_a_terminal() {
        let place = Place::new();
        let saved = place.text("chat.json");
        let mut talk = Talk::new(&place, "tiny.gguf", &["-n", "12"]);
        talk.expect("/help shows the commands");
        // Editing: a letter too many is taken back. A backslash goes on in the next line.
        talk.line("Whyy\x7f so\\\r?");
        talk.line("/why");
        talk.expect("tokens, mean k");
        talk.line("/unod");
        talk.expect("perhaps /undo");
        // Ctrl-C leaves nothing, and the history has what was typed.
        talk.expect(READY);
        talk.keys("half a line\x03");
        talk.expect("Ctrl-D or /quit leaves");
        talk.line(&format!("/save {saved}"));
        talk.expect("saved: ");
        talk.line("And?");
        talk.expect(READY);
        talk.keys("\x04");
        talk.expect("goes on with this chat");
        talk.ended();
        let chat = place.saved("chat.json");
        assert_eq!(chat["turns"][0]["question"], "Why so\n?");
        let folder = place.path("data/periapt");
        let mode = |name: &str| {
            fs::metadata(folder.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(""), 0o700);
        assert_eq!(
            (mode("chat-history"), mode("last-chat.json")),
            (0o600, 0o600)
        );
        let history = fs::read_to_string(folder.join("chat-history")).unwrap();
        assert!(
            history.contains("Why so\\\\\\n?") && history.contains("/unod"),
            "{history}"
        );
        assert_eq!(
            place.saved("data/periapt/last-chat.json")["turns"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        // The next one goes on with the chat, and finds what was typed.
        let last = place.text("data/periapt/last-chat.json");
        let mut talk = Talk::new(&place, "tiny.gguf", &["-n", "12", "--load", &last]);
        talk.expect("2 turns");
        talk.line("\x1b[A");
        talk.line("/quit");
        talk.ended();
        let turns = place.saved("data/periapt/last-chat.json");
        assert_eq!(turns["turns"][2]["question"], "And?");
    }

    #[test]
    fn ctrl_c_stops_the_answer_and_nothing_else() {
        let place = Place::new();
        // The tiny one ends by itself.
        let Some(model) = model_arg() else {
            return;
        };
        let args = ["-n", "400", "--forget", "--method", "base", "--system", ""];
        let mut talk = Talk::new(&place, &model, &args);
        // Files that are written have a watch of their own on Ctrl-C.
        for name in ["one.json", "two.json"] {
            talk.line("Tell me a long story.");
            talk.expect("\r\n");
            // Until something of the answer is there.
            talk.expect("e");
            talk.keys("\x03");
            talk.expect("[stopped: what is there stays]");
            talk.line(&format!("/save {}", place.text(name)));
            talk.expect("saved: ");
            talk.line("/clear");
        }
        talk.expect(READY);
        talk.keys("\x04");
        talk.ended();
        for name in ["one.json", "two.json"] {
            let answer = &place.saved(name)["turns"][0]["base"];
            assert_eq!(answer["finish"], "cancelled");
            assert!(!answer["tokens"].as_array().unwrap().is_empty());
        }
        assert!(!place.path("data").exists(), "something was kept");
    }

    #[test]
    fn what_a_model_writes_gives_the_terminal_no_orders() {
        let place = Place::new();
        let file = place.text("chat.json");
        place.chat(&[], &format!("Why so?\n/save {file}\n"));
        let mut chat = place.saved("chat.json");
        let mut seen_with = |line: &str, change: fn(&mut Value)| {
            change(&mut chat["turns"][0]);
            place.write("chat.json", chat.to_string());
            let mut talk = Talk::new(&place, "tiny.gguf", &["-n", "12", "--load", &file]);
            talk.line(line);
            talk.line("/quit");
            talk.ended()
        };
        let seen = seen_with("/compare", |turn| {
            turn["aligned"]["tokens"][0]["text"] = json!("\u{1b}[31manswer");
        });
        assert!(!seen.contains("\u{1b}[31m"), "{seen:?}");
        assert_eq!(seen.matches("\\u{1b}[31manswer").count(), 2, "{seen:?}");
        let seen = seen_with("/undo", |turn| {
            turn["question"] = json!("\u{1b}]0;question\u{7}");
        });
        assert!(!seen.contains("\u{1b}]0;"), "{seen:?}");
        assert_eq!(seen.matches("\\u{1b}]0;question").count(), 2, "{seen:?}");
    }
}
