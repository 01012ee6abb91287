//! Several models behind one `periapt serve`: loaded on demand, beside each other as far as there is room.

use crate::common::api::{CHAT, ask, chat, events, metric, post, said, start, until};
use crate::common::json;
use crate::common::page::Page;
use crate::common::place::Place;
use crate::common::tiny::Tiny;
use serde_json::{Value, json};

/// A server with `tiny`, `other` and `third`.
fn three(place: &Place, args: &[&str]) -> Page {
    let other = place.model("other.gguf", |tiny| *tiny = Tiny::new(5));
    let third = place.model("third.gguf", |tiny| *tiny = Tiny::new(6));
    start(
        place,
        &[&["--model", &other, "--model", &third], args].concat(),
    )
}

/// Drawn, since greedily the tiny models have nothing to say.
fn of(model: &str, question: &str) -> Value {
    let more = json!({ "model": model, "temperature": 2, "seed": 23 });
    chat(question, more)
}

fn text(server: &Page, body: &Value) -> Value {
    ask(server, CHAT, body)["choices"][0]["message"]["content"].clone()
}

/// How the models stand, by name.
fn standing(server: &Page, model: &str) -> Value {
    let models = said(&server.get("/v1/models", &[]));
    let models = models["data"].as_array().unwrap();
    let one = models.iter().find(|one| one["id"] == model);
    one.unwrap_or_else(|| panic!("{models:?}"))["status"]["value"].clone()
}

/// What `generate` answers.
fn alone(place: &Place, model: &str, question: &str) -> Value {
    let file = place.text(&format!("{model}.gguf"));
    let args = [
        "generate",
        "--json",
        "--device",
        "cpu",
        "-n",
        "24",
        "--model",
        &file,
        "--temperature",
        "2",
        "--seed",
        "23",
        question,
    ];
    json(&args)["text"].clone()
}

const QUESTIONS: [&str; 3] = ["Why?", "What is an owl?", "And then? "];

/// All models' answers to all questions.
fn all(place: &Place) -> Vec<(Value, Value)> {
    let models = ["tiny", "other", "third"];
    let pairs = QUESTIONS
        .iter()
        .flat_map(|question| models.map(|model| (model, question)));
    pairs
        .map(|(model, question)| (of(model, question), alone(place, model, question)))
        .collect()
}

/// At once and whichever order they come in, each is answered by its own model.
fn at_once(server: &Page, wanted: &[(Value, Value)]) {
    std::thread::scope(|scope| {
        for (body, want) in wanted {
            scope.spawn(move || assert_eq!(text(server, body), *want, "{body}"));
        }
    });
}

#[test]
fn models_answer_beside_each_other() {
    let place = Place::new();
    let server = three(&place, &["--max-models", "3"]);
    assert_eq!(standing(&server, "other"), "unloaded");
    let wanted = all(&place);
    assert_ne!(wanted[0].1, wanted[1].1);
    assert!(wanted.iter().all(|(_, text)| *text != ""), "{wanted:?}");
    at_once(&server, &wanted);
    at_once(&server, &wanted);
    for model in ["tiny", "other", "third"] {
        assert_eq!(standing(&server, model), "loaded", "{model}");
    }
    assert_eq!(standing(&server, "m"), "unloaded");
    assert_eq!(metric(&server, "periapt_model_loads_total"), 3.0);
    assert_eq!(server.get("/health", &[]).status, 200);
    // By the file's name, too, and with a preference.
    let named = ask(&server, CHAT, &of("other.gguf@be brief", "Why?"));
    assert_eq!(named["alignment"]["preference"], "be brief");
    let own = json!({
        "model": "other",
        "temperature": 2,
        "seed": 23,
        "alignment": { "preference": "be brief" },
    });
    assert_eq!(
        named["choices"],
        ask(&server, CHAT, &chat("Why?", own))["choices"]
    );
    // Each goes on from its own cache.
    let reused = "periapt_model_reused_tokens{model=\"third\"}";
    let before = metric(&server, reused);
    let long = "Why are owls so silent? ".repeat(8);
    let first = text(&server, &of("third", &long));
    assert_eq!(
        text(&server, &of("tiny", &long)),
        alone(&place, "tiny", &long)
    );
    assert_eq!(text(&server, &of("third", &long)), first);
    until(|| metric(&server, reused) >= before + 128.0);
}

#[test]
fn the_one_asked_for_the_longest_ago_leaves() {
    let place = Place::new();
    let server = three(&place, &["--max-models", "2"]);
    for model in ["tiny", "other", "tiny", "third"] {
        assert_eq!(
            text(&server, &of(model, "Why?")),
            alone(&place, model, "Why?")
        );
    }
    assert_eq!(standing(&server, "other"), "unloaded");
    assert_eq!(standing(&server, "tiny"), "loaded");
    assert_eq!(standing(&server, "third"), "loaded");
    assert_eq!(metric(&server, "periapt_model_loads_total"), 3.0);
    // One that is busy goes on to its end, and who comes for it meanwhile waits until it is back.
    let server = three(&place, &["--max-models", "1"]);
    let busy = chat(
        "Why?",
        json!({ "n": 4, "max_tokens": 300, "temperature": 5 }),
    );
    std::thread::scope(|scope| {
        let first = scope.spawn(|| events(&server, CHAT, busy));
        until(|| metric(&server, "periapt_generated_tokens_total") > 0.0);
        let wanted = all(&place);
        at_once(&server, &wanted);
        assert!(first.join().unwrap().len() > 4);
    });
    until(|| metric(&server, "periapt_requests_in_progress") == 0.0);
}

#[test]
fn memory_says_how_many_there_are() {
    let place = Place::new();
    let about = json(&["models", "inspect", "--json", &place.text("tiny.gguf")]);
    let memory = about["memory"].as_array().unwrap();
    let two_rows = memory.iter().find(|one| one["rows"] == 2).unwrap();
    let need = two_rows["cpu"]["f32"]["peak"].as_u64().unwrap();
    let cache = 1 << 20;
    let with = |memory: u64| three(&place, &["--cache", "1M", "--memory", &memory.to_string()]);
    let ask_both = |server: &Page| {
        for model in ["tiny", "other"] {
            text(server, &of(model, "Why?"));
        }
        ["tiny", "other"].map(|model| standing(server, model))
    };
    // What a model's cache may come to is its own.
    assert_eq!(ask_both(&with(2 * need + cache)), ["loaded", "loaded"]);
    assert_eq!(
        ask_both(&with(2 * need + cache - 1)),
        ["unloaded", "loaded"]
    );
    let answer = post(&with(need - 1), CHAT, &of("tiny", "Why?"));
    assert_eq!(answer.status, 500);
    let error = said(&answer)["error"]["message"].to_string();
    assert!(error.contains("--memory"), "{error}");
}

/// What can't be loaded takes nobody's place.
#[test]
fn a_model_that_is_none_is_refused_each_time() {
    let place = Place::new();
    let server = three(&place, &["--max-models", "1"]);
    let want = text(&server, &of("tiny", "Why?"));
    for _ in 0..2 {
        let answer = post(&server, CHAT, &of("m", "Why?"));
        let error = said(&answer)["error"].clone();
        assert_eq!(answer.status, 500, "{error}");
        assert!(
            error["message"].as_str().unwrap().contains("m.gguf"),
            "{error}"
        );
    }
    assert_eq!(standing(&server, "tiny"), "loaded");
    assert_eq!(text(&server, &of("tiny", "Why?")), want);
    assert_eq!(metric(&server, "periapt_model_loads_total"), 1.0);
    let answer = post(&server, CHAT, &of("thrid", "Why?"));
    let error = said(&answer)["error"].clone();
    assert_eq!(
        (answer.status, &error["code"], &error["param"]),
        (404, &json!("model_not_found"), &json!("model"))
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("did you mean third?"),
        "{error}"
    );
}
