//! The contract as TypeScript: the text of `www/engine/src/contract.ts`, which the page, its worker and the package are
//! built on. A test holds the file to it.

use super::{
    AnswerResult, AskEvent, CandidateResult, Chat, GenerateParams, GenerateResult, HeaderKind,
    Length, ModelFile, ModelHash, ModelInfo, PersonaChange, PersonaParams, PersonaResult,
    RecordHeader, RefineParams, RefineResult, RunHeader, ScoreParams, ScoreResult, StreamLine,
    WeightedPreference, decoding_options, methods_of, refine_options,
};
use crate::decoding::trace::{Iterate, TokenTrace, TopToken};
use crate::decoding::wishes::WISHES;
use crate::decoding::{Adaptive, AmuletParams, MethodName, PromptSet, Sampling, Strength};
use crate::device::{DeviceInfo, Kind};
use crate::model::KvType;
use crate::options::{OptionInfo, Values};
use crate::persona::{Choice as PersonaPick, Known, KnownAxis, KnownLean, Persona, Taken};
use crate::reward::{Choice, Cut, FitScore, RewardName};
use crate::session::{Event, FinishReason, Score};
use crate::text::{Message, Role, SystemPrompt, Today};
use crate::tpo::{
    Budget, Candidate, Mode, Options, PromptName, RecordLine, RefineDraws, RefineSize, RunEvent,
    Shortened, Stage,
};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::fmt::Write;
use ts_rs::{Config, TS};

const HEAD: &str = "/**
 * What the engine is asked and what it answers, generated from core/src/contract: `make contract` writes it anew, and a test
 * fails where it is stale.
 */
";

/// What serde can't say: the fields of one struct within another, all of which may be left out.
const TAIL: &str = "
/** How to answer, and how to decode; what is left out has the engine's default. */
export type GenerateParams = Asked & Partial<AmuletParams & Strength & Length & Sampling>;

/** What to refine, and how. */
export type RefineParams = RefineAsked & Partial<RefineSize & RefineDraws>;

/** What is told while an answer is written; first of all what decides it. */
export type GenerateEvent = { kind: \"begin\"; header: RunHeader } | TokenEvent;

/** What is told of a refinement; first of all what decides it. */
export type RefineEvent = { kind: \"begin\"; header: RecordHeader } | RunEvent | AskEvent;
";

/// The file's whole text.
#[must_use]
pub fn generate() -> String {
    let config = Config::new().with_large_int("number");
    let mut text = HEAD.to_owned();
    macro_rules! declare {
        ($($type:ty),+ $(,)?) => {
            $(one::<$type>(&config, &mut text);)+
        };
    }
    declare!(
        MethodName,
        PromptSet,
        RewardName,
        Role,
        Message,
        Chat,
        KvType,
        Kind,
        DeviceInfo,
        SystemPrompt,
        FinishReason,
        Today,
        ModelInfo,
        AmuletParams,
        Strength,
        Length,
        Adaptive,
        Sampling,
        WeightedPreference,
        GenerateParams,
        ScoreParams,
        Taken,
        PersonaPick,
        Persona,
        KnownAxis,
        KnownLean,
        Known,
        PersonaChange,
        PersonaParams,
        PersonaResult,
        Score,
        FitScore,
        ScoreResult,
        TopToken,
        Iterate,
        TokenTrace,
        Event<'static>,
        AnswerResult,
        GenerateResult,
        ModelFile,
        StreamLine,
        RunHeader,
        Mode,
        PromptName,
        Stage,
        RefineSize,
        RefineDraws,
        Budget,
        Options,
        RefineParams,
        Shortened,
        Cut,
        Candidate,
        RecordLine,
        RunEvent<'static>,
        AskEvent<'static>,
        Choice,
        CandidateResult,
        RefineResult,
        ModelHash,
        HeaderKind,
        RecordHeader,
    );
    text.push_str(TAIL);
    let of_preference = |name: &&MethodName| {
        let method = name.of_preference(AmuletParams::default(), Strength::default());
        method.is_some()
    };
    let methods = MethodName::value_variants().iter();
    let methods: Vec<&MethodName> = methods.filter(of_preference).collect();
    let _ = writeln!(
        text,
        "\n/** The methods that a request may name. */\nexport const METHODS = {} as const;\nexport type Method = (typeof \
         METHODS)[number];",
        json!(methods)
    );
    let _ = writeln!(
        text,
        "\n/** The sets of prompts. */\nexport const PROMPT_SETS = {} as const;",
        json!(PromptSet::value_variants())
    );
    text.push_str("\n/** What the set plain makes of the preferences that it knows. */\n");
    text.push_str("export const PLAIN_WISHES = {\n");
    for wish in WISHES {
        let _ = writeln!(text, "  {}: {},", wish.word, json!(wish.plain));
    }
    text.push_str("} as const;\n");
    table(
        &mut text,
        "DECODING",
        "how answers are decoded",
        decoding_options(),
    );
    table(&mut text, "REFINING", "refinements", refine_options());
    text
}

fn one<T: TS>(config: &Config, text: &mut String) {
    let docs = T::docs().unwrap_or_default();
    let declared = format!("{}\nexport {}", docs.trim_end(), T::decl(config));
    let _ = writeln!(text, "\n{}", tidy(declared.trim_start()));
}

/// A declaration as a person would write it: fields on lines of their own, a short comment on one, and links of rustdoc as
/// the words that they are.
fn tidy(declared: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut inside = false;
    for line in declared.lines().map(str::trim) {
        let line = line.replace("[`", "`");
        let line = line.split("`](").enumerate().map(|(at, part)| match at {
            0 => part.to_owned(),
            _ => format!("`{}", part.split_once(')').map_or("", |(_, rest)| rest)),
        });
        let line = line.collect::<String>().replace("`]", "`");
        // The end of a comment of one line.
        if line == "*/" && lines.len() > 1 && lines[lines.len() - 2].trim() == "/**" {
            let words = lines.pop().unwrap_or_default();
            let words = words.trim().trim_start_matches("* ").to_owned();
            if let Some(begin) = lines.last_mut() {
                let _ = write!(begin, " {words} */");
            }
            continue;
        }
        let indent = if inside { "  " } else { "" };
        let star = if line.starts_with('*') { " " } else { "" };
        inside |= line.starts_with("export ");
        match line.strip_suffix(", };").filter(|_| inside) {
            Some(last) => lines.extend([format!("{indent}{last},"), "};".to_owned()]),
            None => lines.push(format!("{indent}{star}{line}")),
        }
    }
    lines.join("\n")
}

/// The options as values, by their names.
fn table(
    text: &mut String,
    name: &str,
    what: &str,
    options: impl Iterator<Item = &'static OptionInfo>,
) {
    let _ = write!(
        text,
        "\n/** The options of {what}. */\nexport const {name} = {{\n"
    );
    for option in options {
        let methods: Vec<&str> = methods_of(option.group)
            .iter()
            .map(|method| method.as_str())
            .collect();
        let number = |value: f64| -> Value {
            match value.fract() == 0.0 && value.abs() < 2f64.powi(53) {
                true => json!(value as i64),
                false => json!(value),
            }
        };
        let mut value = json!({
            "group": option.group,
            "unit": option.unit,
            "methods": methods,
            "help": option.help.trim(),
            "option": option.name.replace('_', "-"),
        });
        match option.values {
            Values::Number {
                whole,
                default,
                min,
                max,
                control,
            } => {
                value["whole"] = json!(whole);
                value["initial"] = json!(default.map(number));
                value["min"] = number(control.min);
                value["max"] = number(control.max);
                value["step"] = number(control.step);
                value["range"] = json!([number(min), number(max)]);
            }
            Values::Words(words) => {
                value["words"] = json!(words);
                value["initial"] = Value::Null;
            }
        }
        let _ = writeln!(text, "  {}: {value},", option.name);
    }
    text.push_str("} as const;\n");
}
