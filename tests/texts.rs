//! What the program says, word by word, against `tests/snapshots`: its help, why it refuses a call, its reports.

use crate::common::place::Place;
use crate::common::{no_config, periapt, said};
use insta::Settings;
use std::process::{Command, Stdio};

/// Fails where the snapshot of that name is another one. Decimals are left out where a processor may compute others.
fn expect(name: &str, text: &str) {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn without_decimals(text: &str) -> String {
    let (mut before, mut decimals) = (' ', false);
    let mut shown = |c: char| {
        decimals = c.is_ascii_digit() && decimals || c == '.' && before.is_ascii_digit();
        before = c;
        if decimals && c != '.' { '#' } else { c }
    };
    text.chars().map(&mut shown).collect()
}

/// The words of a call, as a shell reads them where there is nothing but single quotes.
fn words(call: &str) -> Vec<&str> {
    let parts = call.split('\'').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    words.collect()
}

impl Place {
    /// A call made in this folder and all that it says; `fixed` stands after the command's name.
    fn said(&self, call: &str, fixed: &[&str]) -> String {
        let mut args = words(call);
        let after = args.len().min(1);
        args.splice(after..after, fixed.iter().copied());
        let output = Command::new(env!("CARGO_BIN_EXE_periapt"))
            .args(&args)
            .current_dir(self.path(""))
            .env("PERIAPT_MODELS", self.path("store"))
            .env("PERIAPT_CONFIG", no_config())
            .env_remove("COLUMNS")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let code = output.status.code().unwrap();
        let said = said(&output).replace(&self.text(""), "FOLDER/");
        format!("$ periapt {call}\n[{code}] {said}\n")
    }

    fn all_said(&self, calls: &str, fixed: &[&str]) -> String {
        let said = calls.trim().lines().map(|call| self.said(call, fixed));
        said.collect()
    }
}

/// The commands that a command's help names, each after its own.
fn commands(parent: &str) -> Vec<String> {
    let help = said(&periapt(&[words(parent), vec!["--help"]].concat()));
    let listed = help
        .split_once("\nCommands:\n")
        .map_or("", |(_, rest)| rest);
    let names = listed.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| !name.is_empty() && *name != "help")
        .flat_map(|name| {
            let name = format!("{parent} {name}").trim().to_owned();
            let below = commands(&name);
            [vec![name], below].concat()
        })
        .collect()
}

#[test]
fn help_of_every_command() {
    let place = Place::new();
    expect("help", &place.said("--help", &[]));
    let commands = commands("");
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let help = place.said(&format!("{command} --help"), &[]);
        expect(&format!("help {command}").replace(' ', "-"), &help);
    }
}

/// Refused before a model is looked for: there is none.
const EARLY: &str = "
generate
generate x --jsom
generate --prefr brief x
generate -prefer brief x
generate \u{2013}prefer brief x
generate --method magic x
generate --method amulet x
generate --method la x
generate --method beam x
generate --method guidance x
generate ''
generate '\u{a0}'
generate --prefer '' x
generate --prefer a:1e9 x
generate --prefer a:NaN --method guidance x
generate --prefer a --prefer b --method pref x
generate --stream weight=inf x
generate --stream name=a x
generate --stream name=a;weight=1 --stream name=a;weight=1 x
generate --stream name=a;weight=1 --method la x
generate --stream name=a;weight=1 --stream-model b=x x
generate --stream-model a=x x
generate --temperature nan x
generate --temperature -1 x
generate --top-p 0 x
generate --min-p -0.1 x
generate --repetition-penalty 0 x
generate --frequency-penalty 101 x
generate --presence-penalty inf x
generate --plausibility 2 x
generate --nucleus 0 --prefer a x
generate --nucleus 1.5 --prefer a x
generate --nucleus nan --prefer a x
generate --adaptive kl --prefer a x
generate --adaptive jsd --prefer a:1 --prefer b:1 x
generate --kl-budget nan --prefer a x
generate --kl-budget=-1 --prefer a x
generate --lambda 0 --prefer a x
generate --alpha=-1 --prefer a x
generate --eta nan --prefer a x
generate --iterations 100001 --prefer a x
generate --strength 1e9 --method la --prefer a x
generate --max-context 0 x
generate -n -1 x
generate --stop '' x
generate --date tomorrow x
generate --memory much x
generate --history 'no list' x
generate --history '[{\"role\": \"assistant\", \"content\": \"Hi.\"}]' x
generate --history '[{\"role\": \"user\", \"content\": \"Hi.\"}]' x
generate --method beam --prefer a --beams 0 x
generate --method beam --prefer a --n-best 0 x
generate --method beam --prefer a --n-best 17 x
generate --method beam --prefer a -n 0 x
generate --method beam --prefer a --trace t.jsonl x
generate --method beam --prefer a --nucleus 0.8 x
generate --method beam --prefer a --adaptive jsd x
generate --paper-compat --temperature 1 --prefer a x
generate --trace /no/such/folder/t.jsonl x
generate --trace there.jsonl x
chat --method beam --prefer a
chat -n 0
chat --prefer ''
chat --stream name=a
chat --load no-such.json
compare x
compare --prefer a --jsno
compare --prefer a ''
score --prefer a x
score --prefer a --response no-such.txt x
score --prefer a --response empty.txt x
eval
eval --prefer a --dataset no-such.json -o out
eval --prefer a --dataset brace.json -o out
eval --prefer a --dataset none.json -o out
eval --prefer a --dataset keyless.json -o out
eval --prefer a --dataset blank.json -o out
eval --prefer a --dataset good.json --dataset good.json -o out
eval --prefer a --dataset good.json -o empty.txt
eval --prefer a --dataset good.json -o empty.txt/below
eval --prefer a --dataset good.json -o out --method guidance
eval --prefer a --dataset good.json -o out --batch 0
eval --prefer a --dataset good.json -o out --limit 0
eval --prefer a --dataset good.json -o out -n 0
eval --prefer a --dataset good.json -o out --budget nan
eval --prefer a --dataset good.json -o out --budget=-1
eval --prefer a --dataset good.json -o out --kl-budget 1
eval --prefer a --dataset good.json -o out --nucleus 0
tpo
tpo --prefer a ''
tpo --prefer a \u{2014}rounds 1 x
tpo --prefer a --samples 0 x
tpo --prefer a --max-text-tokens 0 x
tpo --prefer a -n 0 x
tpo --prefer a --batch 0 x
tpo --prefer a --temperature -1 x
tpo --reward preference x
tpo --reward love x
tpo --reward judge:-1 x
tpo --reward human x
tpo --reward classifier x
tpo --reward judge --reward-model tiny.gguf x
tpo --method amulet x
tpo --method beam --prefer a x
tpo --dataset good.json
tpo --prompts empty.txt x
tpo --prompts prompts x
logits
logits --ids 1,x
logits --prompt a --ids 1
logits --prompt a --top 0
tokenize --parse-specal
";

/// Refused once the tiny model is loaded.
const LATE: &str = "
generate --max-context 9 'A question that takes more tokens.'
generate --memory 1k x
generate --quantize q4_0 x
generate --stream name=a;weight=1 --stream name=b;weight=1 --stream-model b=page.gguf x
logits --ids 97
logits --prompt ''
tpo --reward classifier --reward-model tiny.gguf x
";

/// Refused by commands that take no model, or name it otherwise.
const OTHERS: &str = "
wish
generate --model no-such-model x
generate --model no-such.gguf x
generate --device cpu --model page.gguf x
generate --device cpu --model empty.txt x
generate --device tpu x
tokenize --model page.gguf x
detokenize --model tiny.gguf 97
amulet-update no-such.json
amulet-update --device cpu two.json
amulet-update --device cpu uneven.json
trace show no-such.jsonl
trace show empty.txt
trace show page.gguf
trace html there.jsonl
tpo report none.jsonl --output page.html
tpo report empty.txt --json
models inspect page.gguf
models convert no-such.gguf out.gguf
models convert tiny.gguf there.jsonl
models path
models rm no-such
serve --page no-such
";

/// A table of its own for each time at which a call is refused.
#[test]
fn why_a_call_is_refused() {
    let place = Place::new();
    for folder in ["prompts", "out"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    let uneven = r#"{"cases":[{"alpha":2,"lam":2,"eta":10,"iterations":60,"base_logits":[1],"pref_logits":[1,2]}]}"#;
    for (name, text) in [
        ("page.gguf", "<!doctype html><title>404</title>"),
        ("empty.txt", ""),
        ("there.jsonl", "there\n"),
        ("brace.json", "{"),
        ("none.json", "[]"),
        ("keyless.json", r#"[{"index": 3}]"#),
        ("blank.json", r#"["Why?", " "]"#),
        ("good.json", r#"["Why?"]"#),
        ("two.json", r#"{"cases": [{"alpha": "two"}]}"#),
        ("uneven.json", uneven),
        ("prompts/improve.txt", "A\n---\n{{ nobody }}"),
    ] {
        place.write(name, text);
    }
    let before = place.names();
    let nowhere = ["--model", "nowhere.gguf"];
    expect("refused-early", &place.all_said(EARLY, &nowhere));
    let tiny = ["--model", "tiny.gguf", "--device", "cpu"];
    expect("refused-late", &place.all_said(LATE, &tiny));
    expect("refused-otherwise", &place.all_said(OTHERS, &[]));
    let after: Vec<String> = place.names();
    assert_eq!(after, before, "what was refused left a file");
}

/// In one folder, each on what the ones before it wrote.
const REPORTS: &str = "
generate --prefer brief -n 6 --trace t.jsonl 'Why so?'
compare --prefer brief -n 4 Why?
score --prefer brief --response answer.txt Why?
eval --prefer brief --prefer 'in rhyme' --dataset good.json -n 6 --method base,amulet --budget 0.1 --matched -o out
eval --prefer brief --prefer 'in rhyme' --dataset good.json -n 6 --method base,amulet --budget 0.1 --matched -o out
tpo --prefer brief -n 8 --max-text-tokens 8 --samples 2 --rounds 1 Why?
tpo --prefer brief -n 8 --max-text-tokens 8 --samples 2 --rounds 1 --mode revision --no-baseline Why?
tpo --prefer brief -n 8 --max-text-tokens 8 --samples 2 --mode bon --reward preference:2+judge:0.5 Why?
tpo --prefer brief -n 8 --max-text-tokens 8 --samples 2 --rounds 1 --dataset good.json --record r.jsonl
tpo --prefer brief -n 8 --max-text-tokens 8 --samples 2 --rounds 1 --dataset good.json --record r.jsonl
logits --prompt Why --top 3
";

#[test]
fn reports_in_text() {
    let place = Place::new();
    place.write("good.json", r#"["Why?", "What?"]"#);
    place.write("answer.txt", "No.");
    let tiny = ["--model", "tiny.gguf", "--device", "cpu"];
    let others = "trace show t.jsonl\nmodels inspect tiny.gguf\ntpo report r.jsonl --output r.html";
    let reports = place.all_said(REPORTS, &tiny) + &place.all_said(others, &[]);
    expect("reports", &without_decimals(&reports));
}
