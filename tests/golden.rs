//! The real default model against an independent float32 implementation, on every device.

mod qwen;

use crate::common::{self, session};
use periapt_core::decoding::streams::Stream;
use periapt_core::decoding::{AmuletParams, Conversation, Method, PromptSet, amulet};
use periapt_core::device::{DeviceChoice, OpenDevice};
use periapt_core::kernels::measure;
use periapt_core::model::{KvType, Logits};
use periapt_core::session::{GenerateRequest, read};
use periapt_core::text::{Message, Role};
use periapt_core::{Session, decoding::guidance};
use serde_json::Value;
use std::ops::ControlFlow;

const LOGITS: f32 = 2e-3;
/// With keys and values as f16.
const PACKED_LOGITS: f32 = 2e-2;
const LOG_POLICY: f32 = 1e-4;
const ROWS: f32 = 1e-4;
/// Below this gap between the two best scores, float32 may choose either.
const GAP: f64 = 5e-3;

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn generate(
    session: &Session,
    conversation: Conversation,
    method: Method,
    tokens: usize,
) -> Output {
    let request = GenerateRequest {
        conversations: vec![conversation],
        method,
        max_new_tokens: tokens,
        ..GenerateRequest::default()
    };
    let on_event = &mut async |_: periapt_core::session::Event<'_>| ControlFlow::Continue(());
    let done = pollster::block_on(session.generate(&request, on_event))
        .unwrap()
        .remove(0);
    Output {
        ids: done.token_ids,
        prompts: done.prompt_token_ids,
    }
}

struct Output {
    ids: Vec<u32>,
    prompts: Vec<(String, Vec<u32>)>,
}

/// Equal to the end, or, where the closest race of the golden run was too close to call in
/// float32, up to the first step whose race is that close here.
fn assert_tokens(
    what: &str,
    got: &[u32],
    want: &[u32],
    min_gap: f64,
    close: impl Fn(usize) -> bool,
) {
    if got == want {
        return;
    }
    let at = got.iter().zip(want).take_while(|(a, b)| a == b).count();
    assert!(
        min_gap < GAP && close(at),
        "{what}: token {at} differs\n  got {got:?}\nwanted {want:?}"
    );
}

/// True where the two best scores after `prompts` plus the first `at` tokens lie within [`GAP`].
fn is_close(session: &Session, method: Method, prompts: &[Vec<u32>], answer: &[u32]) -> bool {
    let prompts: Vec<Vec<u32>> = prompts.iter().map(|p| [p, answer].concat()).collect();
    let logits = logits(session, &prompts).0;
    let logits = pollster::block_on(read(logits, session.device())).unwrap();
    let vocab = session.decoder().config().vocab;
    let weights = &method.batch_weights(1)[0];
    let score = |id: usize| -> f64 {
        let terms = weights
            .iter()
            .map(|(row, weight)| weight * logits[row * vocab + id]);
        terms.map(f64::from).sum()
    };
    let mut scores: Vec<f64> = (0..vocab).map(score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores[0] - scores[1] < GAP
}

fn logits(session: &Session, prompts: &[Vec<u32>]) -> Logits {
    let prefill = session.decoder().prefill(prompts, 0, session.kv).unwrap();
    prefill.finish().unwrap().0
}

fn the_model_equals_the_reference_on(choice: DeviceChoice) {
    let Some(session) = session(choice, KvType::F32) else {
        return;
    };
    let golden = common::golden("smollm2_135m_q4_1.json");
    let mut checked = 0;
    for case in golden["cases"].as_array().unwrap() {
        let question = text(&case["user"]).unwrap();
        let system = text(&case["system"]);
        let name = format!("{question:?}");

        let conversation = Conversation {
            system: system.clone(),
            preference: None,
            question: question.clone(),
            ..Conversation::default()
        };
        let prompt = session
            .encode_chat(&conversation.messages(&Stream::base()))
            .unwrap();
        assert_eq!(prompt, common::ids(&case["token_ids"]), "{name}: prompt");

        let got = pollster::block_on(session.next_logits(&prompt)).unwrap();
        for pair in case["top_logits"].as_array().unwrap() {
            let id = pair[0].as_u64().unwrap() as usize;
            let (got, want) = (got[id], pair[1].as_f64().unwrap() as f32);
            assert!(
                (got - want).abs() <= LOGITS,
                "{name}: logit of token {id}: got {got}, wanted {want} within {LOGITS} on {:?}",
                session.device().info
            );
        }

        let want = common::ids(&case["greedy"]);
        let got = generate(&session, conversation, Method::Base, want.len());
        assert_tokens(
            &name,
            &got.ids,
            &want,
            case["min_gap"].as_f64().unwrap(),
            |at| {
                is_close(
                    &session,
                    Method::Base,
                    std::slice::from_ref(&prompt),
                    &want[..at],
                )
            },
        );
        checked += 1;

        let amulet = &case["amulet"];
        if amulet.is_null() {
            continue;
        }
        let conversation = Conversation {
            system: PromptSet::Paper.system_or(None, true),
            preference: text(&case["prefer"]),
            question,
            ..Conversation::default()
        };
        let method = Method::Amulet(AmuletParams::default());
        let want = common::ids(&amulet["greedy"]);
        let got = generate(&session, conversation, method.clone(), want.len());
        let prompts = [
            common::ids(&amulet["base_ids"]),
            common::ids(&amulet["pref_ids"]),
        ];
        assert_eq!(
            got.prompts[0],
            ("base".to_owned(), prompts[0].clone()),
            "{name}"
        );
        assert_eq!(
            got.prompts[1],
            ("pref".to_owned(), prompts[1].clone()),
            "{name}"
        );
        let min_gap = amulet["min_gap"].as_f64().unwrap();
        assert_tokens(&format!("{name} amulet"), &got.ids, &want, min_gap, |at| {
            is_close(&session, method.clone(), &prompts, &want[..at])
        });
        checked += 1;
    }
    assert_eq!(checked, 8, "five greedy and three Amulet runs");
}

#[test]
fn the_model_equals_the_reference_on_the_gpu() {
    the_model_equals_the_reference_on(DeviceChoice::Gpu);
}

#[test]
fn the_model_equals_the_reference_on_the_cpu() {
    the_model_equals_the_reference_on(DeviceChoice::Cpu);
}

/// One prompt alone, and as one of four rows of different lengths.
/// Eight dispatches a layer at most, with one embedding, one head, guidance and sampling beside; one readback a token.
#[test]
fn a_decode_step_is_few_dispatches_and_one_readback() {
    let Some(session) = session(DeviceChoice::Gpu, KvType::F16) else {
        return;
    };
    let conversation = || Conversation {
        system: PromptSet::Paper.system_or(None, true),
        preference: Some("Be brief.".to_owned()),
        question: "Why is the sky blue?".to_owned(),
        ..Conversation::default()
    };
    let method = Method::Amulet(AmuletParams::default());
    let run = |tokens| {
        let before = (measure::dispatches(), measure::readbacks());
        let got = generate(&session, conversation(), method.clone(), tokens)
            .ids
            .len();
        let after = (measure::dispatches(), measure::readbacks());
        (got as u64, after.0 - before.0, after.1 - before.1)
    };
    let (few, many) = (run(2), run(10));
    assert_eq!((few.0, many.0), (2, 10), "an answer ended early");
    assert_eq!(many.2, 10, "readbacks of ten tokens");
    let dispatches = (many.1 - few.1) / 8;
    let layers = session.decoder().config().layers as u64;
    assert!(
        dispatches <= 8 * layers + 4,
        "{dispatches} dispatches a step"
    );
    assert!(dispatches > layers, "{dispatches}: the count is broken");
}

/// With keys and values packed as f16, logits stay within the wider tolerance and greedy tokens equal where the race
/// is not too close for it.
#[test]
fn packed_keys_and_values_stay_close_to_the_reference() {
    let Some(session) = session(DeviceChoice::Gpu, KvType::F16) else {
        return;
    };
    let golden = common::golden("smollm2_135m_q4_1.json");
    for case in golden["cases"].as_array().unwrap() {
        let prompt = common::ids(&case["token_ids"]);
        let got = pollster::block_on(session.next_logits(&prompt)).unwrap();
        for pair in case["top_logits"].as_array().unwrap() {
            let id = pair[0].as_u64().unwrap() as usize;
            let (got, want) = (got[id], pair[1].as_f64().unwrap() as f32);
            assert!(
                (got - want).abs() <= PACKED_LOGITS,
                "logit of token {id}: got {got}, wanted {want} within {PACKED_LOGITS}"
            );
        }
    }
}

fn a_row_does_not_feel_its_batch_on(choice: DeviceChoice) {
    let Some(session) = session(choice, KvType::F32) else {
        return;
    };
    let chat = |content: &str| {
        let message = Message {
            role: Role::User,
            content: content.to_owned(),
        };
        session.encode_chat(&[message]).unwrap()
    };
    let prompts = [
        chat("Why?"),
        chat("What is the history of the bed, from straw to springs, in a few words?"),
        chat("Hello"),
        chat(&"A longer question about nothing in particular. ".repeat(16)),
    ];
    let vocab = session.decoder().config().vocab;
    let together =
        pollster::block_on(read(logits(&session, &prompts).0, session.device())).unwrap();
    for (row, prompt) in prompts.iter().enumerate() {
        let alone = pollster::block_on(session.next_logits(prompt)).unwrap();
        let together = &together[row * vocab..][..vocab];
        for (id, (got, want)) in together.iter().zip(&alone).enumerate() {
            assert!(
                (got - want).abs() <= ROWS * want.abs().max(1.0),
                "row {row}, token {id}: {got} in the batch, {want} alone, within {ROWS}"
            );
        }
    }
}

#[test]
fn a_row_does_not_feel_its_batch_on_the_gpu() {
    a_row_does_not_feel_its_batch_on(DeviceChoice::Gpu);
}

#[test]
fn a_row_does_not_feel_its_batch_on_the_cpu() {
    a_row_does_not_feel_its_batch_on(DeviceChoice::Cpu);
}

/// The collapsed and the iterative form against float64, at every iteration the file has.
fn amulets_update_equals_the_reference_on(choice: DeviceChoice) {
    let Some(device) = common::device(choice) else {
        return;
    };
    let golden = common::golden("amulet_update.json");
    let mut checked = 0;
    for (index, case) in golden["cases"].as_array().unwrap().iter().enumerate() {
        let floats = |key: &str| -> Vec<f32> { serde_json::from_value(case[key].clone()).unwrap() };
        let (base, pref) = (floats("base_logits"), floats("pref_logits"));
        for (iterations, want) in case["log_policy"].as_object().unwrap() {
            let want: Vec<f32> = serde_json::from_value(want.clone()).unwrap();
            let params = AmuletParams {
                alpha: case["alpha"].as_f64().unwrap(),
                lambda: case["lam"].as_f64().unwrap(),
                eta: case["eta"].as_f64().unwrap(),
                iterations: iterations.parse().unwrap(),
            };
            for (form, update) in [
                ("collapsed", amulet::collapsed as fn(_, _, &_) -> _),
                ("iterative", amulet::iterative),
            ] {
                let got = updated(&base, &pref, &params, update, &device);
                for (id, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert!(
                        (got - want).abs() <= LOG_POLICY,
                        "case {index}, {form}, i = {iterations}, token {id}: got {got}, wanted \
                         {want} within {LOG_POLICY} on {:?}",
                        device.info
                    );
                }
                if case["iterations"] == params.iterations {
                    let best = (0..got.len())
                        .max_by(|a, b| got[*a].total_cmp(&got[*b]))
                        .unwrap();
                    assert_eq!(
                        best as u64,
                        case["argmax"].as_u64().unwrap(),
                        "case {index}, {form}"
                    );
                    checked += 1;
                }
            }
        }
    }
    assert_eq!(checked, 28, "14 cases in two forms");
}

fn updated(
    base: &[f32],
    pref: &[f32],
    params: &AmuletParams,
    update: fn(
        burn::tensor::Tensor<2>,
        burn::tensor::Tensor<2>,
        &AmuletParams,
    ) -> burn::tensor::Tensor<2>,
    device: &OpenDevice,
) -> Vec<f32> {
    let (base, pref) = amulet::tensors(base, pref, &device.device).unwrap();
    pollster::block_on(read(update(pref, base, params), device)).unwrap()
}

#[test]
fn amulets_update_equals_the_reference_on_the_gpu() {
    amulets_update_equals_the_reference_on(DeviceChoice::Gpu);
}

#[test]
fn amulets_update_equals_the_reference_on_the_cpu() {
    amulets_update_equals_the_reference_on(DeviceChoice::Cpu);
}

/// Infinite logits: what pref forbids stays forbidden, and nothing becomes NaN.
#[test]
fn infinite_logits_stay_what_they_are() {
    for choice in [DeviceChoice::Gpu, DeviceChoice::Cpu] {
        let Some(device) = common::device(choice) else {
            continue;
        };
        let pref = [1.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 2.0];
        let base = [0.5, 1.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
        let (base, pref) = amulet::tensors(&base, &pref, &device.device).unwrap();
        let got = pollster::block_on(read(guidance::lean(pref, base, 2.0), &device)).unwrap();
        assert_eq!(
            got,
            [2.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 2.0],
            "{:?}",
            device.info
        );
    }
}

/// Logits 200 apart, where exponentials underflow.
#[test]
fn wide_logits_give_numbers_in_both_forms() {
    for choice in [DeviceChoice::Gpu, DeviceChoice::Cpu] {
        let Some(device) = common::device(choice) else {
            continue;
        };
        let params = AmuletParams::default();
        for update in [amulet::collapsed as fn(_, _, &_) -> _, amulet::iterative] {
            let got = updated(
                &[100.0, -100.0, 0.0],
                &[-100.0, 100.0, 0.0],
                &params,
                update,
                &device,
            );
            assert!(
                got.iter().all(|v| v.is_finite()),
                "{got:?} on {:?}",
                device.info
            );
            assert!(got[1] > -1e-6, "{got:?}");
        }
    }
}

/// The comparator finds a planted fault.
#[test]
#[should_panic(expected = "token 1 differs")]
fn a_planted_wrong_token_is_found() {
    assert_tokens("planted", &[1, 2], &[1, 3], 0.5, |_| true);
}
