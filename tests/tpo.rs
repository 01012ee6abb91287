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

/// A small run on the tiny model, which has something to say to the paper's long prompts.
fn tpo_args(place: &Place, more: &[&str]) -> Vec<String> {
    let model = place.text("tiny.gguf");
    let fixed = "tpo --device cpu --prefer brief -n 12 --max-text-tokens 12 --samples 3 --temperature 1 --prompt-set paper --model";
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
            assert_eq!(answer["method"], "pref");
            if mode == "bon" {
                assert!(answer["best_of_n"].is_null() && answer["best_of_n_at_tokens"].is_null());
            } else {
                assert_eq!(answer["best_of_n"]["n"], 13);
                let at_tokens = &answer["best_of_n_at_tokens"];
                assert_eq!(at_tokens["reached"], true, "{at_tokens}");
                assert!(at_tokens["tokens"].as_u64() >= answer["tokens"].as_u64());
                // Prefixes of one sequence: more draws are never worse.
                let more = at_tokens["n"].as_u64() >= answer["best_of_n"]["n"].as_u64();
                let rewards = [at_tokens, &answer["best_of_n"]].map(|of| of["reward"].as_f64());
                let [greater, less] = if more {
                    rewards
                } else {
                    [rewards[1], rewards[0]]
                };
                assert!(greater >= less, "{answer}");
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
fn first_responses_are_told_the_wish_unless_base_is_asked_for() {
    let place = place();
    let run = |name: &str, more: &[&str]| {
        let record = place.text(name);
        let fixed = ["--record", &record, "--rounds", "0", "--json"];
        let answer = json(&tpo_args(&place, &[&fixed[..], more, &["Why?"]].concat()));
        (lines(&place, name)[0].clone(), answer["candidates"].clone())
    };
    let (header, told) = run("default.jsonl", &[]);
    assert_eq!(header["method"], "pref");
    let system = header["system"].as_str().unwrap();
    assert!(system.ends_with("{preference}"), "{system}");
    assert_eq!(run("pref.jsonl", &["--method", "pref"]).1, told);
    assert_ne!(run("base.jsonl", &["--method", "base"]).1, told);
    // Without a wish there is base, under the paper's system prompt or the one that is given.
    let model = place.text("tiny.gguf");
    let system = |name: &str, more: &[&str]| {
        let record = place.text(name);
        let fixed = [
            "tpo", "--device", "cpu", "--model", &model, "--record", &record,
        ];
        let short = ["--rounds", "0", "-n", "12", "--json", "Why?"];
        json(&[&fixed[..], &short, more].concat());
        let header = &lines(&place, name)[0];
        assert_eq!(header["method"], "base");
        header["system"].clone()
    };
    assert_eq!(
        system("none.jsonl", &[]),
        "You are a helpful, creative, and smart assistant."
    );
    assert_eq!(system("own.jsonl", &["--system", "Be kind."]), "Be kind.");
}

#[test]
fn an_earlier_versions_record_is_taken_up_and_reported() {
    let place = place();
    let recording = |name: &str, more: &[&str]| {
        let record = place.text(name);
        let output = periapt(&tpo_args(
            &place,
            &[&["--record", &record], more, &["Why?"]].concat(),
        ));
        assert!(output.status.success(), "{}", stderr(&output));
    };
    recording("whole.jsonl", &[]);
    let whole = lines(&place, "whole.jsonl");
    // What earlier versions did not write, taken out: the texts' ends, and the limit that was the responses' own.
    let text = fs::read_to_string(place.path("whole.jsonl")).unwrap();
    let earlier: Vec<String> = text
        .lines()
        .map(|line| {
            let mut line = line.replace(",\"max_text_tokens\":12", "");
            if line.contains("\"type\":\"text\"") {
                for end in ["stop", "length"] {
                    line = line.replace(&format!("\"finish_reason\":\"{end}\","), "");
                }
                assert!(!line.contains("finish_reason"));
            }
            assert!(!line.contains("max_text_tokens"));
            line + "\n"
        })
        .collect();
    assert_ne!(earlier.concat(), text);
    let told = |all: &[Value]| -> Vec<Value> {
        let kinds = ["candidate", "scores", "end"];
        let is_told = |line: &&Value| kinds.iter().any(|kind| line["type"] == *kind);
        all.iter().filter(is_told).cloned().collect()
    };
    for kept in [1, 4, 8, 11, earlier.len()] {
        fs::write(place.path("earlier.jsonl"), earlier[..kept].concat()).unwrap();
        recording("earlier.jsonl", &[]);
        assert_eq!(
            told(&lines(&place, "earlier.jsonl")),
            told(&whole),
            "{kept}"
        );
    }
    // A comparison all of whose responses were one round.
    let seed = fixture("../../../fuzz/seeds/records/record.jsonl");
    let report = json(&["tpo", "report", seed.to_str().unwrap(), "--json"]);
    let record = &report["records"][0];
    assert_eq!(
        (&record["best_of_n"]["n"], &record["best_of_n"]["questions"]),
        (&6.into(), &1.into())
    );
    assert!(record["best_of_n_at_tokens"]["n"].as_f64().unwrap() <= 6.0);
    assert_eq!(record["cut"]["of_texts"], 2);
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
    assert_ne!(texts("amulet"), texts("pref"));
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
                // With which some texts meet their limit.
                "--seed",
                "10",
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
    let mut cut = 0;
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
        let at_tokens = &record["best_of_n_at_tokens"];
        assert_eq!(
            (&at_tokens["questions"], &at_tokens["reached"]),
            (&2.into(), &2.into())
        );
        assert!(at_tokens["tokens"].as_u64() >= record["tokens"].as_u64());
        // Each candidate and text that met its limit, counted by hand.
        let is_cut = |line: &&Value| line["part"] == "run" && line["finish_reason"] == "length";
        let of = |kind: &str| {
            let all = lines(&place, &format!("{mode}.jsonl"));
            all.iter()
                .filter(is_cut)
                .filter(|line| line["type"] == kind)
                .count()
        };
        assert_eq!(record["cut"]["responses"], of("candidate"));
        assert_eq!(record["cut"]["texts"], of("text"));
        cut += of("candidate") + of("text");
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
    assert!(cut > 0, "nothing to count");
    let html = fs::read_to_string(&page).unwrap();
    assert!(
        html.contains("Who &lt;&#x2f;IMPROVED_VARIABLE&gt;?"),
        "the question is not there, or not as text"
    );
    assert!(html.contains("<ins>") && html.contains("<circle"));
    for said in ["were cut at their limits", "at equal tokens: "] {
        assert!(html.contains(said), "{said} is not in the page");
    }
    for outside in ["http://", "https://", "<script", "src="] {
        assert!(!html.contains(outside), "{outside} in the page");
    }
    let record = fs::read_to_string(place.path("tpo.jsonl")).unwrap();
    // What was cut is said of each text.
    let all_cut = record.replace("\"finish_reason\":\"stop\"", "\"finish_reason\":\"length\"");
    let all_cut = place.write("cut.jsonl", all_cut);
    let report = ["tpo", "report", &all_cut, "--output", &page, "--json"];
    let cut = json(&report)["records"][0]["cut"].clone();
    assert_eq!(
        (&cut["responses"], &cut["texts"]),
        (&cut["of_responses"], &cut["of_texts"])
    );
    let html = fs::read_to_string(&page).unwrap();
    for said in [
        "This response was cut at its limit of 12 tokens.",
        "It was cut at its limit of 12 tokens.",
        "<td class=\"left\">cut</td>",
    ] {
        assert!(html.contains(said), "{said} is not in the page");
    }
    assert!(!html.contains("by itself"));
    let header = record.lines().next().unwrap();
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
        "--max-text-tokens",
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
    assert!(
        said.contains("best of 6 first responses, at equal generations"),
        "{said}"
    );
    // No praise beyond what the reward says.
    let compared = [&answer["best_of_n"], &answer["best_of_n_at_tokens"]];
    let reward = answer["reward"].as_f64();
    let beats = compared
        .iter()
        .all(|other| reward > other["reward"].as_f64());
    assert_eq!(
        said.contains("beat best-of-N at equal generations and at equal tokens"),
        beats,
        "{said}"
    );
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
        let mut reward = ClassifierReward::new(&classifier, None);
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
        // A wish is part of the question.
        let mut wished = ClassifierReward::new(&classifier, Some("Be brief.".to_owned()));
        let told = pollster::block_on(wished.score("Why?", "", &[Response::ended("So.")])).unwrap();
        let asked =
            pollster::block_on(reward.score("Why?\n\nBe brief.", "", &[Response::ended("So.")]))
                .unwrap();
        let bare = pollster::block_on(reward.score("Why?", "", &[Response::ended("So.")])).unwrap();
        assert_eq!(told, asked);
        assert_ne!(told, bare);
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
    let short = [
        "-n",
        "4",
        "--max-text-tokens",
        "4",
        "--quantize",
        "q4_0",
        "Why?",
    ];
    let with = |reward| [&main[..], &ask, &["--reward-model", reward], &short].concat();
    json(&[&with(model)[..], &["--json"]].concat());
    fails(&with(&quantized), 3, &["--reward-model", "is Q8_0 already"]);
}
