//! The tiny model in a folder of its own, and the real binary on it.

use crate::common::tiny::Tiny;
use crate::common::{self, stderr};
use periapt_core::formats::gguf::Value as Metadata;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use temp_dir::TempDir;

/// A template with a place for a system prompt.
pub const PLACE: &str = "{% for m in messages %}{{ m.content }}\n{% endfor %}";

/// A folder with the tiny model in it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self {
            folder: TempDir::new().unwrap(),
        };
        place.model(PLACE);
        place
    }

    /// The tiny model, with that template.
    pub fn model(&self, template: &str) {
        let mut tiny = Tiny::new(4);
        for (key, value) in &mut tiny.metadata {
            if key == "tokenizer.chat_template" {
                *value = Metadata::String(template.to_owned());
            }
        }
        std::fs::write(self.path("tiny.gguf"), tiny.file()).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A command on the tiny model, with that on standard input and these variables.
    pub fn run_with(&self, args: &[&str], stdin: &[u8], variables: &[(&str, &str)]) -> Output {
        let model = self.path("tiny.gguf");
        let (command, rest) = args.split_first().unwrap();
        let mut call = Command::new(env!("CARGO_BIN_EXE_periapt"));
        call.arg(command).arg("--model").arg(model);
        if *command != "tokenize" && *command != "detokenize" {
            call.args(["--device", "cpu"]);
        }
        let mut child = call
            .args(rest)
            .env("PERIAPT_MODELS", self.path("store"))
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who refuses a call does not read what is given to it.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, b"", &[])
    }

    pub fn ok(&self, args: &[&str], stdin: &[u8]) -> Value {
        let output = self.run_with(args, stdin, &[]);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// Fails with that code and says every one of these.
    pub fn fails(&self, args: &[&str], stdin: &[u8], code: i32, says: &[&str]) {
        let output = self.run_with(args, stdin, &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        for word in says {
            assert!(
                said.contains(word),
                "{args:?} does not say {word:?}: {said}"
            );
        }
        assert!(output.stdout.is_empty(), "{args:?}");
    }

    /// The prompts of a call of `generate`, by their streams' names.
    pub fn prompts(&self, args: &[&str], stdin: &[u8]) -> Vec<(String, String)> {
        let call = [&["generate", "--json", "-n", "1"], args].concat();
        let answer = self.ok(&call, stdin);
        let prompts = answer["prompt_token_ids"].as_object().unwrap();
        prompts
            .iter()
            .map(|(name, ids)| (name.clone(), text(&common::ids(ids))))
            .collect()
    }

    pub fn prompt(&self, args: &[&str], stdin: &[u8]) -> String {
        self.prompts(args, stdin).pop().unwrap().1
    }
}

/// What the tiny model's tokens stand for.
pub fn text(ids: &[u32]) -> String {
    let of = |id: &u32| match *id {
        0 => "<|end|>".to_owned(),
        95 => " ".to_owned(),
        96 => "\n".to_owned(),
        id => char::from(b'!' + (id - 1) as u8).to_string(),
    };
    ids.iter().map(of).collect()
}
