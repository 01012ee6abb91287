//! `periapt tpo` with the real binary on a tiny model, and a short run on the real one: what it says, writes, takes up
//! again and reports.

use crate::common::place::Place;
use crate::common::{self, fails, fixture, json, model_arg, periapt, stderr};
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Two questions beside the tiny model.
fn place() -> Place {
    let place = Place::new();
    let questions = r#"["Who </IMPROVED_VARIABLE>?", {"question": "What?"}]"#;
    place.write("questions.json", questions);
    place
}

/// A small run on the tiny model.
fn tpo_args(place: &Place, more: &[&str]) -> Vec<String> {
    let model = place.text("tiny.gguf");
    let fixed = "tpo --device cpu --prefer brief -n 12 --samples 3 --temperature 1 --model";
    let args = fixed.split(' ').chain([model.as_str()]);
    let args = args.chain(more.iter().copied());
    args.map(str::to_owned).collect()
}

/// The record's lines without their times.
fn lines(place: &Place, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path(name)).unwrap();
    let line = |line: &str| -> Value {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("ms");
        value
    };
    text.lines().map(line).collect()
}

#[test]
fn one_question_in_every_mode() {
    let place = place();
    for (mode, generations) in [("tpo", 13), ("revision", 13), ("bon", 3)] {
        for reward in ["fit", "preference", "judge", "fit:2+judge:0.5"] {
            let answer = json(&tpo_args(
                &place,
                &["--mode", mode, "--reward", reward, "--json", "Why?"],
            ));
            assert_eq!(answer["generations"], generations, "{mode}");
            assert_eq!(answer["mode"], mode);
            assert_eq!(answer["reward_name"], reward);
            let candidates = answer["candidates"].as_array().unwrap();
            let best = candidates
                .iter()
                .map(|c| c["reward"].as_f64().unwrap())
                .fold(f64::MIN, f64::max);
            assert_eq!(answer["reward"], best);
            let own = candidates.iter().find(|c| c["reward"] == best).unwrap();
            assert_eq!(answer["text"], own["text"]);
            assert!(answer["tokens"].as_u64().unwrap() > 0);
            if mode == "bon" {
                assert!(answer["best_of_n"].is_null());
            } else {
                assert_eq!(answer["best_of_n"]["n"], 13);
            }
        }
    }
    // The first responses are the same whatever comes after them.
    let text = |mode: &str| {
        json(&tpo_args(&place, &["--mode", mode, "--json", "Why?"]))["candidates"][0]["text"]
            .clone()
    };
    assert_eq!(text("tpo"), text("bon"));
}

#[test]
fn amulet_writes_the_candidates_where_asked() {
    let place = place();
    let texts = |method: &str| {
        let answer = json(&tpo_args(
            &place,
            &["--method", method, "--rounds", "0", "--json", "Why?"],
        ));
        answer["candidates"].clone()
    };
    assert_ne!(texts("amulet"), texts("base"));
}

#[test]
fn a_record_is_the_same_whole_taken_up_and_in_another_batch() {
    let place = place();
    let recording = |record: &str, more: &[&str]| {
        let (questions, record) = (place.text("questions.json"), place.text(record));
        let fixed = ["--dataset", &questions, "--record", &record];
        tpo_args(&place, &[&fixed[..], more].concat())
    };
    let run = |record: &str, more: &[&str]| {
        let output = periapt(&recording(record, more));
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    run("whole.jsonl", &[]);
    let whole = lines(&place, "whole.jsonl");
    assert_eq!(whole[0]["type"], "header");
    assert_eq!(whole[0]["options"]["sampling"]["seed"], 7);
    for kind in ["run", "candidate", "scores", "text", "update", "end"] {
        assert!(whole.iter().any(|line| line["type"] == kind), "no {kind}");
    }
    assert!(whole.iter().any(|line| line["part"] == "baseline"));
    run("again.jsonl", &[]);
    assert_eq!(lines(&place, "again.jsonl"), whole);

    // Cut anywhere, in the middle of a line too, it goes on to the same end.
    let bytes = fs::read(place.path("whole.jsonl")).unwrap();
    for cut in (1..20).map(|part| bytes.len() * part / 20) {
        fs::write(place.path("cut.jsonl"), &bytes[..cut]).unwrap();
        run("cut.jsonl", &[]);
        assert_eq!(lines(&place, "cut.jsonl"), whole, "cut at {cut}");
    }
    assert!(run("cut.jsonl", &[]).contains("taken up after"));

    // Another seed's run is not this one.
    fails(
        &recording("cut.jsonl", &["--seed", "8"]),
        2,
        &["other settings"],
    );
    // What is no record is left as it is.
    fs::write(place.path("cut.jsonl"), "not a record\n").unwrap();
    fails(&recording("cut.jsonl", &[]), 2, &["line 1"]);
    assert_eq!(
        fs::read_to_string(place.path("cut.jsonl")).unwrap(),
        "not a record\n"
    );
}

#[test]
fn killed_at_random_it_loses_no_finished_response() {
    let place = place();
    let record = place.text("killed.jsonl");
    let args = tpo_args(
        &place,
        &[
            "--dataset",
            &place.text("questions.json"),
            "--record",
            &record,
        ],
    );
    let finished = |bytes: &str| -> Vec<String> {
        let whole = |line: &&str| {
            serde_json::from_str::<Value>(line).is_ok_and(|line| line["type"] == "candidate")
        };
        bytes.lines().filter(whole).map(str::to_owned).collect()
    };
    let mut before: Vec<String> = Vec::new();
    for kill in 0..20u64 {
        let mut process = Command::new(env!("CARGO_BIN_EXE_periapt"))
            .args(&args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Anywhere: nothing is asserted about how far it came.
        std::thread::sleep(Duration::from_millis(40 + kill * 37 % 200));
        // It may be done.
        let _ = process.kill();
        process.wait().unwrap();
        let now = finished(&fs::read_to_string(place.path("killed.jsonl")).unwrap_or_default());
        assert!(
            before.iter().all(|line| now.contains(line)),
            "a response is gone"
        );
        before = now;
    }
    let output = periapt(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let args = tpo_args(
        &place,
        &[
            "--dataset",
            &place.text("questions.json"),
            "--record",
            &place.text("whole.jsonl"),
        ],
    );
    assert!(periapt(&args).status.success());
    assert_eq!(lines(&place, "killed.jsonl"), lines(&place, "whole.jsonl"));
}

#[test]
fn the_report_has_the_figures_and_stands_alone() {
    let place = place();
    for mode in ["tpo", "revision"] {
        let record = place.text(&format!("{mode}.jsonl"));
        let args = tpo_args(
            &place,
            &[
                "--mode",
                mode,
                // By which a rewrite wins here, so that there is a difference to show.
                "--reward",
                "preference",
                "--dataset",
                &place.text("questions.json"),
                "--record",
                &record,
            ],
        );
        assert!(periapt(&args).status.success());
    }
    let page = place.text("report.html");
    let report = json(&[
        "tpo",
        "report",
        &place.text("tpo.jsonl"),
        &place.text("revision.jsonl"),
        "--output",
        &page,
        "--json",
    ]);
    let records = report["records"].as_array().unwrap();
    for (record, mode) in records.iter().zip(["tpo", "revision"]) {
        assert_eq!(record["mode"], mode);
        assert_eq!(record["questions"], 2);
        let rounds = record["by_round"].as_array().unwrap();
        assert_eq!(rounds.len(), 3);
        let best: Vec<f64> = rounds
            .iter()
            .map(|round| round["best_so_far"].as_f64().unwrap())
            .collect();
        assert!(best.is_sorted(), "{best:?}");
        assert_eq!(record["best_of_n"]["n"], 13);
        // Mean of the candidates' own rewards, by hand.
        let lines = lines(&place, &format!("{mode}.jsonl"));
        let scores = lines
            .iter()
            .filter(|line| line["type"] == "scores" && line["part"] == "run" && line["round"] == 1);
        let means: Vec<f64> = scores
            .map(|line| {
                let rewards = line["rewards"].as_array().unwrap();
                rewards
                    .iter()
                    .map(|pair| pair[1].as_f64().unwrap())
                    .sum::<f64>()
                    / rewards.len() as f64
            })
            .collect();
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        assert!((rounds[1]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    }
    let html = fs::read_to_string(&page).unwrap();
    assert!(
        html.contains("Who &lt;&#x2f;IMPROVED_VARIABLE&gt;?"),
        "the question is not there, or not as text"
    );
    assert!(html.contains("<ins>") && html.contains("<circle"));
    for outside in ["http://", "https://", "<script", "src="] {
        assert!(!html.contains(outside), "{outside} in the page");
    }
    let cut = fs::read_to_string(place.path("tpo.jsonl")).unwrap();
    let header = cut.lines().next().unwrap();
    fs::write(place.path("empty.jsonl"), format!("{header}\n")).unwrap();
    fails(
        &["tpo", "report", &place.text("empty.jsonl"), "--json"],
        2,
        &["no finished round"],
    );
    fails(
        &["tpo", "report", &place.text("tpo.jsonl")],
        2,
        &["--output"],
    );
}

#[test]
fn the_real_model_improves_or_says_that_it_did_not() {
    let Some(model) = model_arg() else { return };
    let args = [
        "tpo",
        "--model",
        &model,
        "--device",
        "cpu",
        "--prefer",
        "concise",
        "--samples",
        "2",
        "--rounds",
        "1",
        "-n",
        "16",
    ];
    let answer = json(&[&args[..], &["--json", "Why is the sky blue?"]].concat());
    assert_eq!(answer["generations"], 6);
    let rounds: Vec<u64> = answer["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["round"].as_u64().unwrap())
        .collect();
    assert_eq!(rounds, [0, 0, 1, 1], "an update was not taken");
    let said = stderr(&periapt(&[&args[..], &["Why is the sky blue?"]].concat()));
    assert!(said.contains("best of 6 first responses"), "{said}");
}

/// A tiny reward model's scores against the transformers library's, through the reward and through the program.
#[test]
fn a_reward_model_scores() {
    use periapt_core::device::DeviceChoice;
    use periapt_core::reward::{ClassifierReward, Response, Reward};
    use periapt_core::session::Classifier;

    let models = fixture("");
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(models.join("expected.json")).unwrap()).unwrap();
    let device = common::device(DeviceChoice::Cpu).unwrap();
    for name in ["reward-llama", "reward-qwen3"] {
        let bytes = fs::read(models.join(format!("{name}.gguf"))).unwrap();
        let mut reader = std::io::Cursor::new(bytes);
        let classifier = Classifier::load(&mut reader, &device, &mut |_, _| {}).unwrap();
        let mut reward = ClassifierReward::new(&classifier);
        let mut seen = 0;
        for case in expected["models"][name]["cases"].as_array().unwrap() {
            let messages = case["messages"].as_array().unwrap();
            let [user, assistant] = messages.as_slice() else {
                continue;
            };
            if user["role"] != "user" || assistant["role"] != "assistant" {
                continue;
            }
            let [query, response] = [user, assistant].map(|m| m["content"].as_str().unwrap());
            let got = pollster::block_on(reward.score(
                query,
                "",
                &["Else.", response].map(Response::ended),
            ))
            .unwrap();
            let want = case["score"].as_f64().unwrap();
            assert!(
                (got[1] - want).abs() < 1e-3,
                "{name}: {got:?}, wanted {want}"
            );
            assert!(reward.take_cuts().is_empty());
            seen += 1;
        }
        assert!(seen > 0, "{name}: no case of one question and one answer");
        // What passes its context is scored by its beginning, and that is said.
        let long = "A sentence of its own. ".repeat(2000);
        let got = pollster::block_on(reward.score(
            "Why?",
            "",
            &["Short.", long.trim()].map(Response::ended),
        ))
        .unwrap();
        let cuts = reward.take_cuts();
        assert_eq!(
            (cuts.len(), cuts[0].response, cuts[0].from),
            (1, 1, long.trim().chars().count())
        );
        let beginning: String = long.chars().take(cuts[0].to).collect();
        assert!(beginning.ends_with('.'), "{beginning}");
        let alone =
            pollster::block_on(reward.score("Why?", "", &[Response::ended(&beginning)])).unwrap();
        assert!((got[1] - alone[0]).abs() < 1e-4);
    }

    let place = place();
    let model = models.join("reward-llama.gguf");
    let model = model.to_str().unwrap();
    let record = place.text("classifier.jsonl");
    let args = tpo_args(
        &place,
        &[
            "--reward",
            "classifier:2+preference",
            "--reward-model",
            model,
            "--record",
            &record,
            "--json",
            "Why?",
        ],
    );
    let answer = json(&args);
    assert_eq!(answer["reward_name"], "classifier:2+preference");
    let header = &lines(&place, "classifier.jsonl")[0];
    assert_eq!(header["reward_model"], answer["reward_model"]);
    assert_eq!(header["reward_model"]["sha256"].as_str().unwrap().len(), 64);
    assert!(answer["reward"].as_f64().unwrap().is_finite());
    // A model that writes is no reward model.
    let args = tpo_args(
        &place,
        &[
            "--reward",
            "classifier",
            "--reward-model",
            &place.text("tiny.gguf"),
            "Why?",
        ],
    );
    fails(&args, 3, &["--reward-model"]);
    fails(
        &tpo_args(&place, &["--reward", "classifier", "Why?"]),
        2,
        &["--reward-model"],
    );
    let args = tpo_args(
        &place,
        &["--reward", "judge", "--reward-model", model, "Why?"],
    );
    fails(&args, 2, &["--reward classifier"]);

    // What is asked of the model is asked of the reward model, too.
    let quantized = place.text("reward-q8_0.gguf");
    periapt(&["models", "convert", model, &quantized, "--quantize", "q8_0"]);
    let main = models.join("llama.gguf");
    let main = ["tpo", "--device", "cpu", "--model", main.to_str().unwrap()];
    let ask = ["--reward", "classifier", "--samples", "2", "--rounds", "1"];
    let short = ["-n", "4", "--quantize", "q4_0", "Why?"];
    let with = |reward| [&main[..], &ask, &["--reward-model", reward], &short].concat();
    json(&[&with(model)[..], &["--json"]].concat());
    fails(&with(&quantized), 3, &["--reward-model", "is Q8_0 already"]);
}
