//! A folder of one's own with the tiny model in it, and the real binary there.

use super::tiny::Tiny;
use super::{expect_failure, ids, no_config, parsed};
use periapt_core::formats::gguf::Value as Metadata;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use temp_dir::TempDir;

pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let place = Self { folder };
        place.model("tiny.gguf", |_| {});
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.text(name)
    }

    /// A tiny model, changed.
    pub fn model(&self, name: &str, change: impl FnOnce(&mut Tiny)) -> String {
        let mut tiny = Tiny::new(4);
        change(&mut tiny);
        self.write(name, tiny.file())
    }

    /// The tiny model, with that template from now on.
    pub fn template(&self, template: &str) {
        self.model("tiny.gguf", |tiny| {
            tiny.set(
                "tokenizer.chat_template",
                Metadata::String(template.to_owned()),
            );
        });
    }

    /// The names of the files here, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
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
            .env("PERIAPT_CONFIG", no_config())
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
        parsed(args, &self.run_with(args, stdin, &[]))
    }

    /// Fails with that code, says every one of these, and prints nothing.
    pub fn fails(&self, args: &[&str], stdin: &[u8], code: i32, says: &[&str]) {
        let output = self.run_with(args, stdin, &[]);
        expect_failure(args, &output, code, says);
        assert!(output.stdout.is_empty(), "{args:?}");
    }

    /// The prompts of a call of `generate`, by their streams' names.
    pub fn prompts(&self, args: &[&str], stdin: &[u8]) -> Vec<(String, String)> {
        let call = [&["generate", "--json", "-n", "1"], args].concat();
        let answer = self.ok(&call, stdin);
        let prompts = answer["prompt_token_ids"].as_object().unwrap();
        prompts
            .iter()
            .map(|(name, prompt)| (name.clone(), text(&ids(prompt))))
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
