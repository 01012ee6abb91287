//! The configuration file: what it says holds where nothing else does, and what it says wrong is named by its line.

use crate::common::page::{Page, port_of};
use crate::common::place::Place;
use crate::common::{command, expect_failure, parsed, said, stderr};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};
use temp_dir::TempDir;

/// A folder with the tiny model and a configuration file that names it.
struct Configured {
    place: Place,
}

impl Configured {
    fn new(says: &str) -> Self {
        let place = Place::new();
        let model = json!(place.text("tiny.gguf"));
        place.write(
            "config.toml",
            format!("model = {model}\ndevice = \"cpu\"\n{says}"),
        );
        Self { place }
    }

    /// A file that says this alone.
    fn only(says: &str) -> Self {
        let place = Place::new();
        place.write("config.toml", says);
        Self { place }
    }

    fn run_with(&self, args: &[&str], vars: &[(&str, &str)]) -> Output {
        let (file, store) = (self.place.text("config.toml"), self.place.text("store"));
        let own = [("PERIAPT_CONFIG", &*file), ("PERIAPT_MODELS", &store)];
        command(args, &[&own[..], vars].concat()).output().unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, &[])
    }

    fn json(&self, args: &[&str]) -> Value {
        parsed(args, &self.run(args))
    }

    fn generate(&self, more: &[&str]) -> Value {
        self.json(&[&["generate", "-n", "2", "--json", "Why?"], more].concat())
    }

    /// What `periapt config` says of a key.
    fn held(&self, table: Option<&str>, key: &str, vars: &[(&str, &str)]) -> Value {
        let args = ["config", "--json"];
        let told = parsed(&args, &self.run_with(&args, vars));
        let is_it = |held: &&Value| held["key"] == key && held["table"].as_str() == table;
        let found = told["values"].as_array().unwrap().iter().find(is_it);
        found.unwrap_or_else(|| panic!("no {key}")).clone()
    }

    fn fails(&self, args: &[&str], code: i32, says: &[&str]) {
        expect_failure(args, &self.run(args), code, says);
    }
}

#[test]
fn the_command_line_comes_before_the_file() {
    let own = Configured::new("prefer = \"brief\"\nmethod = \"la\"\nstrength = 1.5\nseed = 7\n");
    let answer = own.generate(&[]);
    assert_eq!(
        (&answer["method"], &answer["strength"]),
        (&json!("la"), &json!(1.5))
    );
    assert!(answer["prompt_token_ids"]["pref"].is_array());
    let answer = own.generate(&["--strength", "0.5"]);
    assert_eq!(
        (&answer["method"], &answer["strength"]),
        (&json!("la"), &json!(0.5))
    );
    let answer = own.generate(&["--method", "pref"]);
    assert_eq!(answer["method"], "pref");
    // What the file alone gives may be what a command needs.
    let answers = own.json(&["compare", "-n", "1", "--json", "Why?"]);
    assert_eq!(answers["answers"][2]["strength"], 1.5);
    // And nothing of it where it is left out.
    let model = own.place.text("tiny.gguf");
    let plain = ["--no-config", "--model", &model, "--device", "cpu"];
    assert_eq!(own.generate(&plain)["method"], "base");
    own.fails(&["compare", "--no-config", "Why?"], 2, &["--prefer"]);
    let broken = Configured::only("[serve\n");
    let answer = broken.generate(&plain);
    assert_eq!(answer["method"], "base");
}

#[test]
fn the_environment_comes_between_them() {
    let own = Configured::new("memory = \"1k\"\n");
    let call = ["generate", "-n", "1", "Why?"];
    own.fails(&call, 3, &["larger than the memory"]);
    let output = own.run_with(&call, &[("PERIAPT_MEMORY", "4G")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let call = [&call[..], &["--memory", "1k"]].concat();
    let output = own.run_with(&call, &[("PERIAPT_MEMORY", "4G")]);
    expect_failure(&call, &output, 3, &["larger than the memory"]);
    let held = own.held(None, "memory", &[("PERIAPT_MEMORY", "4G")]);
    assert_eq!(
        (&held["from"], &held["values"]),
        (&json!("environment"), &json!(["4G"]))
    );
    let held = own.held(None, "memory", &[]);
    assert_eq!((&held["from"], &held["line"]), (&json!("file"), &json!(3)));
    // One that is named and is not there is no file that is missing.
    let gone = [("PERIAPT_CONFIG", "/no/such/file.toml")];
    let output = own.run_with(&call, &gone);
    expect_failure(&call, &output, 2, &["PERIAPT_CONFIG", "/no/such/file.toml"]);
}

/// In a call that names a file for it, the configuration may say nothing that the call can't mean.
#[test]
fn what_does_not_go_with_a_call_gives_way() {
    let own = Configured::new("prefer = \"brief\"\nmethod = \"la\"\nplausibility = 0.2\n");
    let several = own.generate(&["--prefer", "brief:1", "--prefer", "kind:2"]);
    assert_eq!(several["method"], "guidance");
    let streams = own.generate(&["--stream", "name=a;weight=1"]);
    assert_eq!(streams["method"], "guidance");
    assert_eq!(streams["prompt_token_ids"].as_object().unwrap().len(), 1);
    let paper = own.generate(&["--paper-compat", "--prefer", "brief"]);
    assert_eq!(
        (&paper["method"], &paper["plausibility"]),
        (&json!("amulet"), &json!(0.0))
    );
    // A server's models have other names.
    let nowhere = ["generate", "--engine", "http://127.0.0.1:9", "Why?"];
    let output = own.run(&nowhere);
    assert!(
        !stderr(&output).contains("tiny.gguf"),
        "{}",
        stderr(&output)
    );
    // A method that leans has to have a wish to lean to.
    let without = Configured::new("method = \"amulet\"\n");
    assert_eq!(without.generate(&[])["method"], "base");
    assert_eq!(without.generate(&["--prefer", "brief"])["method"], "amulet");
    // Several go where several may be.
    let many = Configured::new("prefer = [\"brief:1\", \"kind\"]\n");
    assert_eq!(many.generate(&[])["method"], "guidance");
    many.fails(&["compare", "Why?"], 2, &["--prefer"]);
    // What can't be meant is said with whose it is.
    own.fails(
        &["generate", "--method", "beam", "Why?"],
        2,
        &[
            "--plausibility",
            "config.toml says",
            "plausibility",
            "--no-config",
        ],
    );
}

#[test]
fn measurements_take_the_model_and_the_device_alone() {
    let own =
        Configured::new("prefer = \"brief\"\nplausibility = 0.2\nstrength = 9\ntemperature = 1\n");
    let answer = own.place.write("answer.txt", "The owl sees the moon.");
    let call = ["score", "--response", &answer, "--json", "Why?"];
    own.fails(&call, 2, &["--prefer"]);
    let scored = own.json(&[&call[..], &["--prefer", "kind"]].concat());
    assert_eq!(scored["model"]["path"], own.place.text("tiny.gguf"));
    let questions = own.place.write("questions.json", "[\"Why?\"]");
    let folder = own.place.text("out");
    let call = [
        "eval",
        "--dataset",
        &questions,
        "--method",
        "la",
        "-n",
        "2",
        "-o",
        &folder,
    ];
    own.fails(&call, 2, &["--prefer"]);
    let call = [&call[..], &["--prefer", "kind", "--json"]].concat();
    own.json(&call);
    let run = std::fs::read_to_string(own.place.path("out/run.json")).unwrap();
    let run: Value = serde_json::from_str(&run).unwrap();
    assert_eq!(run["device"]["kind"], "cpu");
    assert_eq!(
        (&run["strength"], &run["sampling"]["temperature"]),
        (&json!(2.0), &json!(0.0))
    );
    assert_eq!(run["sampling"]["plausibility"], 0.0);
}

#[test]
fn what_the_file_says_wrong_is_named_by_its_line() {
    for (text, says) in [
        (
            "model = \"a\"\nmodell = \"b\"\n",
            &["line 2", "no key modell", "is it model?"][..],
        ),
        (
            "zzz = 1\n",
            &["line 1", "no key zzz", "there are", "max-new-tokens"],
        ),
        ("max_new_tokens = 3\n", &["is it max-new-tokens?"]),
        (
            "\nmethod = \"magic\"\n",
            &["line 2", "method = \"magic\"", "one of base, pref, la"],
        ),
        (
            "strength = \"much\"\n",
            &["line 1", "strength", "invalid float"],
        ),
        (
            "temperature = -1\n",
            &["temperature = -1 is out of range", "from 0 to 100"],
        ),
        ("max-context = 0\n", &["max-context", "from 1 on"]),
        ("cache = \"4 apples\"\n", &["cache", "no size", "512M"]),
        (
            "device = true\n",
            &["device takes a text or a number, and no boolean"],
        ),
        ("model = [\"a\"]\n", &["model takes a text", "array"]),
        (
            "prefer = [1979-05-27]\n",
            &["prefer takes a text, or a list", "datetime"],
        ),
        ("prefer = \"\"\n", &["line 1", "prefer", "empty"]),
        ("prefer = \"a:1e9\"\n", &["line 1", "prefer"]),
        ("port = 1\n", &["line 1", "table [serve]"]),
        (
            "engine = \"http://127.0.0.1\"\n",
            &["line 1", "engine is of the command line alone"],
        ),
        (
            "[server]\nport = 1\n",
            &["line 1", "no table [server]", "[serve]"],
        ),
        (
            "[serve]\nprot = 1\n",
            &["line 2", "no key prot in [serve]", "is it port?"],
        ),
        ("[serve]\nport = 70000\n", &["line 2", "port", "70000"]),
        ("[serve]\nhost = \"here\"\n", &["line 2", "host", "IP"]),
        (
            "[serve]\nstrength = 1\n",
            &["line 2", "above the table [serve]"],
        ),
        (
            "[serve]\napi-key = \"geheim\"\n",
            &["line 2", "api-key-env"],
        ),
        ("\nmodel =\n", &["line 2"]),
        ("model = \"a\"\nmodel = \"b\"\n", &["line 2", "duplicate"]),
        ("\u{1b}[31m = 1\n", &["line 1"]),
    ] {
        let own = Configured::only(text);
        for call in [&["generate", "Why?"][..], &["serve"], &["config"]] {
            let output = own.run(call);
            expect_failure(call, &output, 2, says);
            expect_failure(call, &output, 2, &["config.toml"]);
            assert!(!said(&output).contains("geheim") && !said(&output).contains('\u{1b}'));
        }
        // Who does not read it does not mind.
        assert!(own.run(&["models", "list"]).status.success());
    }
    let wide = Configured::only("");
    wide.place.write("config.toml", b"\xff\xfem\0o\0");
    wide.fails(&["config"], 2, &["UTF-16"]);
}

#[test]
fn what_holds_is_shown_with_where_it_is_from() {
    let own = Configured::new(
        "prefer = [\"brief\", \"kind\"]\ncache = \"1M\"\n[serve]\nport = 0\ncache = \"2M\"\n",
    );
    let told = own.json(&["config", "--json"]);
    assert_eq!(
        (&told["path"], &told["read"]),
        (&json!(own.place.text("config.toml")), &json!(true))
    );
    for (table, key, values, from, line) in [
        (None, "device", json!(["cpu"]), "file", json!(2)),
        (None, "prefer", json!(["brief", "kind"]), "file", json!(3)),
        (None, "method", json!([]), "default", Value::Null),
        (None, "strength", json!(["2"]), "default", Value::Null),
        (None, "cache", json!(["1M"]), "file", json!(4)),
        (Some("serve"), "cache", json!(["2M"]), "file", json!(7)),
        (Some("serve"), "port", json!(["0"]), "file", json!(6)),
        (
            Some("serve"),
            "host",
            json!(["127.0.0.1"]),
            "default",
            Value::Null,
        ),
    ] {
        let held = own.held(table, key, &[]);
        assert_eq!(
            (&held["values"], &held["from"], &held["line"]),
            (&values, &json!(from), &line),
            "{key}"
        );
    }
    let shown = said(&own.run(&["config"]));
    assert!(
        shown.contains("file, line 3") && shown.contains("[serve] port"),
        "{shown}"
    );
    assert_eq!(
        said(&own.run(&["config", "--path"])).trim(),
        own.place.text("config.toml")
    );
    let left_out = own.json(&["config", "--json", "--no-config"]);
    assert_eq!(left_out["read"], false);
    // What a command can be told does not depend on what this user says.
    let help = |own: &Configured| said(&own.run(&["generate", "--help"]));
    assert_eq!(help(&own), help(&Configured::only("")));
    let doctor = own.json(&["doctor", "--json"]);
    assert_eq!(doctor["configuration"], told["path"]);
    assert_eq!(doctor["configuration_fault"], Value::Null);
    let wrong = Configured::only("x = 1\n").json(&["doctor", "--json"]);
    assert!(
        wrong["configuration_fault"]
            .as_str()
            .unwrap()
            .contains("line 1")
    );
}

/// Where nobody names a file, it is the one in the user's folder for these.
#[cfg(target_os = "linux")]
#[test]
fn the_file_is_in_the_users_folder() {
    let own = Configured::new("");
    let home = own.place.text("home");
    std::fs::create_dir_all(own.place.path("home/periapt")).unwrap();
    let file = own.place.text("home/periapt/config.toml");
    let vars = [("PERIAPT_CONFIG", ""), ("XDG_CONFIG_HOME", &*home)];
    let told = |own: &Configured| {
        let args = ["config", "--json"];
        parsed(&args, &own.run_with(&args, &vars))
    };
    let none = told(&own);
    assert_eq!(
        (&none["path"], &none["read"]),
        (&json!(file), &json!(false))
    );
    std::fs::write(&file, "prefer = \"brief\"\n").unwrap();
    assert_eq!(told(&own)["read"], true);
}

#[test]
fn the_server_has_a_table_of_its_own() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.child("index.html"), "<p>page</p>").unwrap();
    let page = json!(folder.path());
    let says =
        format!("prefer = \"brief\"\n[serve]\nport = 0\nhost = \"0.0.0.0\"\npage = {page}\n");
    let open = Configured::new(&says);
    open.fails(&["serve"], 2, &["--api-key", "config.toml says", "host"]);
    let own = Configured::new(&format!("{says}api-key-env = \"OUR_KEY\"\n"));
    own.fails(
        &["serve"],
        2,
        &["--api-key-env OUR_KEY", "no such environment variable"],
    );
    let (file, store) = (own.place.text("config.toml"), own.place.text("store"));
    let vars = [
        ("PERIAPT_CONFIG", &*file),
        ("PERIAPT_MODELS", &store),
        ("OUR_KEY", "geheim"),
    ];
    let mut process = command(&["serve"], &vars)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    out.read_line(&mut url).unwrap();
    let server = Page {
        process: Some(process),
        port: port_of(&url).unwrap_or_else(|| panic!("no address: {url:?}")),
        folder,
    };
    assert!(url.starts_with("http://0.0.0.0:"), "{url}");
    assert_eq!(server.get("/v1/models", &[]).status, 401);
    let key = ["Authorization: Bearer geheim"];
    assert_eq!(server.get("/v1/models", &key).status, 200);
}
