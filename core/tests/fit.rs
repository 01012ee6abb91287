//! The reward `fit` on tiny models: token by token against the model's own logits, and as a run asks for it.

use crate::tiny::Tiny;
use periapt_core::Session;
use periapt_core::decoding::Conversation;
use periapt_core::decoding::streams::{Stream, StreamPreference, expand_preference};
use periapt_core::device::{self, DeviceChoice};
use periapt_core::model::KvType;
use periapt_core::reward::{
    FitParams, FitReward, NEUTRAL, PreferenceReward, Response, Reward, RewardName,
};
use std::io::Cursor;

const WISH: &str = "Keep it short and plain.";
const QUESTION: &str = "Why so?";

fn tiny(seed: u64) -> Session {
    let device = pollster::block_on(device::open(DeviceChoice::Cpu)).unwrap();
    let file = Tiny::new(seed).file();
    let mut session = Session::load(&mut Cursor::new(file), &device, &mut |_, _| {}).unwrap();
    session.kv = KvType::F32;
    session
}

fn fit<'a>(session: &'a Session, reworded: &[&str]) -> FitReward<'a> {
    let reworded: Vec<String> = reworded.iter().map(|text| (*text).to_owned()).collect();
    FitReward::new(session, None, WISH.to_owned(), &reworded)
}

fn asked() -> Conversation {
    Conversation {
        preference: Some(WISH.to_owned()),
        question: QUESTION.to_owned(),
        ..Conversation::default()
    }
}

/// log p of each of `ids` after the prompt with that instruction, one at a time.
fn log_probs(session: &Session, told: StreamPreference, ids: &[u32]) -> Vec<f64> {
    let stream = Stream {
        preference: told,
        ..Stream::base()
    };
    let mut row = session.encode_chat(&asked().messages(&stream)).unwrap();
    let one = |id: &u32| {
        let logits = pollster::block_on(session.next_logits(&row)).unwrap();
        row.push(*id);
        let highest = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
        let sum: f64 = logits.iter().map(|l| (f64::from(*l) - highest).exp()).sum();
        f64::from(logits[*id as usize]) - highest - sum.ln()
    };
    ids.iter().map(one).collect()
}

#[test]
fn ratings_equal_token_by_token_ones_and_an_end_counts_where_there_is_one() {
    let session = tiny(9);
    let end = session.end_of_turn().unwrap();
    assert_eq!(end, 0);
    let text = "Shortly: no, keep it short and mild.";
    let mut ids = session.encode_answer(text).unwrap();
    ids.push(end);
    for reworded in [&["Be brief.", "terse"][..], &["Be brief."], &[]] {
        let mut reward = fit(&session, reworded);
        let responses = [
            Response { text, ended: true },
            Response { text, ended: false },
        ];
        let ratings = pollster::block_on(reward.rate(&asked(), &responses)).unwrap();
        let told = |text: &str| StreamPreference::Text(expand_preference(text));
        let neutral = log_probs(&session, told(NEUTRAL), &ids);
        let own = [WISH];
        let instructions = if reworded.is_empty() {
            &own[..]
        } else {
            reworded
        };
        let rows: Vec<Vec<f64>> = instructions
            .iter()
            .map(|text| log_probs(&session, told(text), &ids))
            .collect();
        let rating = &ratings[0];
        assert_eq!(rating.differences.len(), text.len() + 1);
        for (at, got) in rating.differences.iter().enumerate() {
            let sum: f64 = rows.iter().map(|row| row[at]).sum();
            let want = sum / rows.len() as f64 - neutral[at];
            assert!((got - want).abs() < 1e-3, "{reworded:?} {at}: {got} {want}");
        }
        let base = log_probs(&session, StreamPreference::None, &ids[..text.len()]);
        let nll = -base.iter().sum::<f64>() / base.len() as f64;
        assert!((rating.nll - nll).abs() < 1e-3, "{} {nll}", rating.nll);
        // Every character is a token: "Shortly", four words in a row, and nothing else.
        let counted: String = text
            .chars()
            .zip(&rating.counted)
            .map(|(c, counts)| if *counts { c } else { '_' })
            .collect();
        assert_eq!(counted, "_______: no, _________________ mild.");
        assert!(rating.counted[text.len()]);
        // One that was cut lacks the end alone.
        let cut = &ratings[1];
        assert_eq!(cut.differences.len(), text.len());
        assert!(
            cut.differences
                .iter()
                .zip(&rating.differences)
                .all(|(a, b)| (a - b).abs() < 1e-4)
        );
        assert!((cut.nll - rating.nll).abs() < 1e-4);
        // The style, by hand: what is masked adds nothing, and is divided by.
        let scores = reward.scores(&ratings);
        let sum: f64 = rating
            .differences
            .iter()
            .zip(&rating.counted)
            .filter(|(_, counts)| **counts)
            .map(|(d, _)| d.clamp(-0.5, 0.5))
            .sum();
        assert!((scores[0].style - sum / (text.len() + 1) as f64).abs() < 1e-12);
        assert_eq!(scores[0].masked, 24);
        assert_ne!(scores[0].style, scores[1].style);
    }
}

#[test]
fn an_echo_behind_adds_nothing_of_its_own() {
    let session = tiny(4);
    let mut reward = fit(&session, &["Be brief."]);
    let plain = "Because of this and that.";
    let echo = format!("{plain} {WISH}");
    let responses = [plain, &echo].map(|text| Response { text, ended: false });
    let ratings = pollster::block_on(reward.rate(&asked(), &responses)).unwrap();
    let sum = |place: usize| ratings[place].style(0.5) * ratings[place].differences.len() as f64;
    // All that the echo adds is the space before it and the full stop behind.
    let counted: Vec<usize> = (plain.len()..echo.len())
        .filter(|at| ratings[1].counted[*at])
        .collect();
    assert_eq!(counted, [plain.len(), echo.len() - 1]);
    let own: f64 = counted
        .iter()
        .map(|at| ratings[1].differences[*at].clamp(-0.5, 0.5))
        .sum();
    assert!((sum(1) - sum(0) - own).abs() < 1e-3);
}

#[test]
fn first_responses_set_the_limit_for_all_that_come_after_and_for_a_run_taken_up() {
    let session = tiny(4);
    // The least likely one comes later, whatever this model takes for likely.
    let texts = ["No.", "Because.", "It is so.", "zq#~^|zq#~"];
    let mut all = texts.map(Response::ended);
    let ratings = pollster::block_on(fit(&session, &[]).rate(&asked(), &all)).unwrap();
    let nll = |response: &Response<'_>| {
        let place = texts.iter().position(|text| *text == response.text);
        ratings[place.unwrap()].nll
    };
    all.sort_by(|a, b| nll(a).total_cmp(&nll(b)));
    let (first, later) = all.split_at(3);
    let score = |reward: &mut FitReward<'_>, responses: &[Response<'_>]| {
        pollster::block_on(reward.score(QUESTION, "", responses)).unwrap()
    };
    let mut whole = fit(&session, &["Be brief."]);
    whole.begin(QUESTION);
    assert_eq!(whole.nll_limit(), None);
    let of_first = score(&mut whole, first);
    let limit = whole.nll_limit().unwrap();
    let of_later = score(&mut whole, later);
    assert_eq!(whole.nll_limit(), Some(limit));
    // Taken up from what the record's text holds.
    let kept: f64 = serde_json::from_str(&serde_json::to_string(&limit).unwrap()).unwrap();
    let mut again = fit(&session, &["Be brief."]);
    again.begin(QUESTION);
    again.set_nll_limit(kept);
    assert_eq!(score(&mut again, later), of_later);
    // Without it, the later one sets its own.
    let mut alone = fit(&session, &["Be brief."]);
    alone.begin(QUESTION);
    assert!(score(&mut alone, later)[0] > of_later[0]);
    // The same query's comparison is held against the same, another query begins anew.
    whole.begin(QUESTION);
    assert_eq!(score(&mut whole, first), of_first);
    whole.begin("Who?");
    assert_eq!(whole.nll_limit(), None);
    // What is less likely than the limit pays beta for each nat.
    let harsh = FitParams {
        fit_beta: 3.0,
        ..FitParams::default()
    };
    let ratings = pollster::block_on(again.rate(&asked(), later)).unwrap();
    let [mild, harsh] =
        [FitParams::default(), harsh].map(|params| ratings[0].score(&params, limit));
    assert!(mild.nll > limit, "{mild:?}");
    assert!((mild.reward - harsh.reward - 2.0 * (mild.nll - limit)).abs() < 1e-9);
}

#[test]
fn what_passes_the_context_is_rated_by_its_beginning_and_has_no_end() {
    let mut session = tiny(4);
    session.limit_context(700);
    let mut reward = fit(&session, &["Be brief."]);
    let long = "A sentence of its own. ".repeat(40);
    let responses = [Response::ended("Short."), Response::ended(long.trim())];
    let ratings = pollster::block_on(reward.rate(&asked(), &responses)).unwrap();
    let cuts = reward.take_cuts();
    assert_eq!((cuts.len(), cuts[0].response), (1, 1));
    assert_eq!(cuts[0].reward, RewardName::Fit.to_string());
    assert_eq!(ratings[1].differences.len(), cuts[0].to);
    assert_eq!(ratings[0].differences.len(), "Short.".len() + 1);
    assert!(reward.take_cuts().is_empty());
}

/// A model that knows every byte, and wishes in scripts that it has no words for.
#[test]
fn wishes_in_any_script_are_scored() {
    let fixtures =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let device = pollster::block_on(device::open(DeviceChoice::Cpu)).unwrap();
    let mut file = std::fs::File::open(fixtures.join("qwen2.gguf")).unwrap();
    let session = Session::load(&mut file, &device, &mut |_, _| {}).unwrap();
    for (wish, answer, echoes) in [
        (
            "\u{8bf7}\u{7b80}\u{6d01}\u{56de}\u{7b54}",
            "\u{7b80}\u{6d01}\u{ff1a}\u{597d}\u{3002}",
            true,
        ),
        (
            "\u{e15}\u{e2d}\u{e1a}\u{e2a}\u{e31}\u{e49}\u{e19}",
            "\u{e14}\u{e35}",
            false,
        ),
        ("\u{1f642}", "\u{1f642}\u{200d}\u{fe0f} \u{301}", false),
        (
            "\u{642}\u{635}\u{64a}\u{631}",
            "\u{642}\u{635}\u{64a}\u{631}!",
            true,
        ),
        ("na\u{ef}ve", "na\u{ef}vely, e\u{301}", true),
    ] {
        let mut reward = FitReward::new(&session, None, expand_preference(wish), &[]);
        let conversation = Conversation {
            question: "?".to_owned(),
            ..Conversation::default()
        };
        let answers = [Response::ended(answer)];
        let ratings = pollster::block_on(reward.rate(&conversation, &answers)).unwrap();
        assert_eq!(ratings[0].counted.contains(&false), echoes, "{wish}");
        assert!(reward.scores(&ratings)[0].reward.is_finite());
    }
    // Beside it, what it takes the place of.
    let mut other = PreferenceReward::new(&session, None, "Be brief.".to_owned());
    let scores = pollster::block_on(other.score("?", "", &[Response::ended("No.")]));
    assert!(scores.unwrap()[0].is_finite());
}
