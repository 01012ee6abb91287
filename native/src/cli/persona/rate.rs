//! `periapt persona rate`: where answers stand, for whoever measures that.

use crate::cli::args::RateArgs;
use crate::cli::{input, lines, load, notes, print_json};
use periapt_core::decoding::Conversation;
use periapt_core::decoding::preference::is_empty;
use periapt_core::persona::{AXES, OfAxes, Ratios, features, ratios};
use periapt_core::reward::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A line of `--lines`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerLine {
    #[serde(default)]
    id: Value,
    question: String,
    response: String,
}

pub fn run(args: &RateArgs) -> anyhow::Result<()> {
    let mut answers: Vec<AnswerLine> = Vec::new();
    lines::each("--lines", &args.lines, |_, answer: AnswerLine| {
        if is_empty(&answer.question) || answer.response.is_empty() {
            return Err("the question or the response is empty".to_owned());
        }
        answers.push(answer);
        Ok(())
    })?;
    if !args.by_model {
        for answer in &answers {
            print_json(&object(answer, None, false))?;
        }
        return Ok(());
    }
    let loaded = load(&args.model)?;
    notes::of_session(&loaded.session);
    for group in answers.chunk_by(|a, b| a.question == b.question) {
        let conversation = Conversation {
            system: args.prompts.system(false, true),
            question: input::typed(&group[0].question),
            ..Conversation::default()
        };
        let texts: Vec<String> = group.iter().map(|a| input::typed(&a.response)).collect();
        let responses: Vec<_> = texts.iter().map(|text| Response::ended(text)).collect();
        let rated = pollster::block_on(ratios(&loaded.session, &conversation, &responses))?;
        for (answer, ratios) in group.iter().zip(&rated) {
            print_json(&object(answer, Some(ratios), args.per_token))?;
        }
    }
    Ok(())
}

/// Numbers by their axes' names.
fn by_axis(numbers: OfAxes) -> Map<String, Value> {
    let named = AXES.iter().zip(numbers);
    named
        .map(|(axis, number)| (axis.name.to_owned(), json!(number)))
        .collect()
}

fn object(answer: &AnswerLine, ratios: Option<&Ratios>, per_token: bool) -> Value {
    let features = features(&input::typed(&answer.response));
    let mut object = json!({ "id": answer.id, "features": by_axis(features) });
    if let Some(ratios) = ratios {
        object["log_ratios"] = json!(by_axis(ratios.means()));
        object["nll"] = json!(ratios.nll);
        if per_token {
            object["differences"] = json!(ratios.differences);
            object["counted"] = json!(ratios.counted);
        }
    }
    object
}
