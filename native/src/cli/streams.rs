//! Guidance's streams, from the command line.

use super::args::{ModelArgs, StreamArgs};
use super::{Usage, input, load};
use periapt_core::Session;
use periapt_core::decoding::preference::is_empty;
use periapt_core::decoding::streams::{Stream, StreamPreference, preference_streams};
use periapt_core::decoding::{DecodingError, Method, Preference, PromptSet};
use periapt_core::reward::rewordings;

/// What `--prefer` says, each with its weight where it has one.
pub fn preferences(prefer: &[String]) -> Result<Vec<Preference>, Usage> {
    let parse = |given: &String| {
        let wrong = |error: DecodingError| Usage(format!("--prefer: {error}"));
        Preference::parse(&input::typed(given)).map_err(wrong)
    };
    prefer.iter().map(parse).collect()
}

/// The text of a preference whose weight `what` could do nothing with.
pub fn unweighted(preference: Preference, what: &str) -> Result<String, Usage> {
    let Preference { text, weight } = preference;
    match weight {
        None => Ok(text),
        Some(weight) => Err(Usage(format!(
            "--prefer: {what} takes a preference without a weight, and this one has the weight {weight}: leave the weight \
             out; where it is text, write `{text}\\:{weight}`"
        ))),
    }
}

/// A command's one preference, which has no weight, in the words of `set`.
pub fn preference(set: PromptSet, given: &str, command: &str) -> Result<String, Usage> {
    let mut all = preferences(&[given.to_owned()])?;
    Ok(set.instruction(&unweighted(all.remove(0), command)?))
}

/// What `--reworded` says of a preference, or else what is built in for it.
pub fn reworded(given: &[String], preference: &str) -> Result<Vec<String>, Usage> {
    let given: Vec<String> = given.iter().map(|text| input::typed(text)).collect();
    let own = rewordings(&given, preference);
    own.map_err(|error| Usage(format!("--reworded: {error}")))
}

/// The streams that preferences with weights (1 where there is none; base first) and `--stream` ask for, in this order.
pub fn streams(
    set: PromptSet,
    prefer: &[Preference],
    args: &StreamArgs,
) -> Result<Vec<Stream>, Usage> {
    let mut streams = Vec::new();
    if !prefer.is_empty() {
        let weighted = prefer
            .iter()
            .map(|p| (p.text.as_str(), p.weight.unwrap_or(1.0)));
        streams = preference_streams(set, &weighted.collect::<Vec<_>>());
    }
    for (index, spec) in args.stream.iter().enumerate() {
        streams.push(stream(set, &input::typed(spec), index + 1)?);
    }
    Ok(streams)
}

fn stream(set: PromptSet, spec: &str, number: usize) -> Result<Stream, Usage> {
    let wrong = |what: &str| Usage(format!("--stream {spec:?}: {what}"));
    let mut stream = Stream {
        name: format!("stream{number}"),
        system: None,
        preference: StreamPreference::None,
        weight: 0.0,
        model: 0,
    };
    let mut weight = None;
    for field in fields(spec) {
        let Some((key, value)) = field.split_once('=') else {
            return Err(wrong(&format!("{field:?} is no key=value")));
        };
        match key.trim() {
            "name" => stream.name = value.to_owned(),
            "system" => stream.system = Some(value.to_owned()),
            "prefer" if is_empty(value) => return Err(wrong("the preference is empty")),
            "prefer" => stream.preference = StreamPreference::Text(set.instruction(value)),
            "weight" => {
                let number = value.trim().parse();
                let no_number = |_| wrong(&format!("the weight {value:?} is no number"));
                weight = Some(number.map_err(no_number)?);
            }
            other => {
                let keys = "name, system, prefer and weight";
                return Err(wrong(&format!("unknown key {other:?}; there are {keys}")));
            }
        }
    }
    stream.weight = weight.ok_or_else(|| wrong("no weight; add weight=NUMBER"))?;
    Ok(stream)
}

/// Splits at `;`, where `\;` stands for the character itself.
fn fields(spec: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = spec.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, fields.last_mut()) {
            (';', _) => fields.push(String::new()),
            ('\\', Some(field)) if chars.peek() == Some(&';') => {
                field.extend(chars.next());
            }
            (c, Some(field)) => field.push(c),
            (_, None) => {}
        }
    }
    fields.retain(|field| !field.trim().is_empty());
    fields
}

/// Loads the models that `--stream-model` names beside the session's own: the streams of `method` that they are for, each
/// with its model's number.
pub fn attach(
    session: &mut Session,
    method: &Method,
    model: &ModelArgs,
    args: &StreamArgs,
) -> anyhow::Result<Vec<(String, usize)>> {
    let mut other = model.clone();
    let mut companions = Vec::new();
    for (name, file) in stream_models(method, args)? {
        other.model = Some(file);
        let loaded = load(&other)?;
        other.load.leave(loaded.memory)?;
        companions.push((name, session.attach(loaded.session)?));
    }
    Ok(companions)
}

/// Gives the streams of `method` the models that [`attach`] loaded for them.
pub fn assign(method: &mut Method, companions: &[(String, usize)]) {
    if let Method::Guidance(streams) = method {
        for stream in streams {
            let own = companions
                .iter()
                .rev()
                .find(|(name, _)| *name == stream.name);
            stream.model = own.map_or(stream.model, |(_, number)| *number);
        }
    }
}

/// What `--stream-model` says, each stream with its model; checked against the method's streams.
pub fn stream_models(method: &Method, args: &StreamArgs) -> Result<Vec<(String, String)>, Usage> {
    let names: Vec<String> = match method {
        Method::Guidance(streams) => streams.iter().map(|s| s.name.clone()).collect(),
        _ => Vec::new(),
    };
    let parse = |spec: &String| {
        let wrong = |what: String| Usage(format!("--stream-model {spec:?}: {what}"));
        let (name, model) = spec
            .split_once('=')
            .ok_or_else(|| wrong("give NAME=MODEL".to_owned()))?;
        if !names.iter().any(|known| known == name) {
            return Err(wrong(match names.is_empty() {
                true => format!(
                    "method {} has no streams to choose from; take guidance",
                    method.name()
                ),
                false => format!(
                    "no stream is called {name:?}; there are {}",
                    names.join(", ")
                ),
            }));
        }
        Ok((name.to_owned(), model.to_owned()))
    };
    args.stream_model.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn args(stream: &[&str]) -> StreamArgs {
        StreamArgs {
            stream: stream.iter().map(|s| (*s).to_owned()).collect(),
            stream_model: Vec::new(),
        }
    }

    #[test]
    fn preferences_lean_away_from_base() {
        let prefer = ["concise:2".to_owned(), "Answer: in verse".to_owned()];
        let prefer = preferences(&prefer).unwrap();
        let streams = streams(PromptSet::Plain, &prefer, &args(&[])).unwrap();
        let all: Vec<_> = streams
            .iter()
            .map(|s| (s.name.as_str(), s.weight))
            .collect();
        assert_eq!(all, [("base", -2.0), ("pref1", 2.0), ("pref2", 1.0)]);
        let wish = &streams[2].preference;
        assert_eq!(wish, &StreamPreference::Text("Answer: in verse".to_owned()));
    }

    #[test]
    fn a_stream_says_all_of_itself() {
        let spec = "name=rude;system=Be rude\\; insult.;weight=-0.5;prefer=loud";
        let streams = streams(PromptSet::Paper, &[], &args(&[spec])).unwrap();
        let [stream] = streams.as_slice() else {
            panic!("{streams:?}");
        };
        assert_eq!(stream.name, "rude");
        assert_eq!(stream.system.as_deref(), Some("Be rude; insult."));
        assert_eq!(stream.weight, -0.5);
        assert_eq!(
            stream.preference,
            StreamPreference::Text(PromptSet::Paper.instruction("loud"))
        );
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        for (spec, says) in [
            ("weight=much", "no number"),
            ("name=a", "add weight"),
            ("nmae=a;weight=1", "unknown key"),
            ("nothing", "key=value"),
        ] {
            let error = streams(PromptSet::Paper, &[], &args(&[spec]))
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
