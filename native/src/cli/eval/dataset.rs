//! Questions to evaluate on.

use super::{Usage, input};
use crate::store::Remote;
use periapt_core::decoding::preference::is_empty;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A file of questions.
#[derive(Debug)]
pub struct Dataset {
    /// Its file's name without the ending.
    pub name: String,
    pub questions: Vec<Question>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// As the file has it; the place in the list where it has none.
    pub index: Value,
    pub text: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(String),
    Object {
        index: Option<Value>,
        question: String,
    },
}

impl Dataset {
    /// Reads a file, or fetches `OWNER/NAME/PATH` from the hub into `folder`, where a later run finds it.
    pub fn open(spec: &str, limit: Option<usize>, folder: &Path) -> Result<Self, Usage> {
        let wrong = |what: String| Usage(format!("--dataset {spec}: {what}"));
        let mut path = PathBuf::from(spec);
        if !path.exists() {
            let from_hub = spec.matches('/').count() >= 2 && !path.is_absolute();
            if !from_hub
                || spec
                    .split('/')
                    .any(|part| part.is_empty() || part.starts_with('.'))
            {
                return Err(wrong("no such file".to_owned()));
            }
            path = folder.join("datasets").join(spec);
            if !path.exists() {
                let text = Remote::from_env().dataset(spec);
                let text = text.map_err(|why| wrong(format!("no such file here, and {why}")))?;
                parse(&text).map_err(wrong)?;
                super::write_whole(&path, &text).map_err(|error| wrong(format!("{error:#}")))?;
            }
        }
        let text = input::whole_file("--dataset", &path)?;
        let mut questions = parse(&text).map_err(wrong)?;
        questions.truncate(limit.unwrap_or(usize::MAX));
        let name = path.file_stem().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            questions,
        })
    }
}

pub fn parse(text: &str) -> Result<Vec<Question>, String> {
    let form = "a JSON list of questions, or of objects with `index` and `question`, or JSON lines of these";
    let wrong = |error: serde_json::Error| format!("it must be {form}: {error}");
    let entries: Vec<Entry> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text).map_err(wrong)?,
        false => serde_json::Deserializer::from_str(text)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(wrong)?,
    };
    let question = |(place, entry): (usize, Entry)| match entry {
        Entry::Text(text) => Question {
            index: place.into(),
            text,
        },
        Entry::Object { index, question } => Question {
            index: index.unwrap_or_else(|| place.into()),
            text: question,
        },
    };
    let questions: Vec<Question> = entries.into_iter().enumerate().map(question).collect();
    let mut seen = std::collections::HashSet::new();
    if let Some(again) = questions.iter().find(|q| !seen.insert(q.index.to_string())) {
        return Err(format!("the index {} is there twice", again.index));
    }
    if let Some(empty) = questions.iter().find(|q| is_empty(&q.text)) {
        return Err(format!("the question of index {} is empty", empty.index));
    }
    match questions.is_empty() {
        true => Err("there is no question in it".to_owned()),
        false => Ok(questions),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn both_forms_are_read_and_others_are_not() {
        let list = parse(r#"["a", "b"]"#).unwrap();
        assert_eq!(
            (list[1].index.clone(), list[1].text.as_str()),
            (1.into(), "b")
        );
        let objects = parse(r#"[{"index": "x", "question": "a"}, {"question": "b"}]"#).unwrap();
        assert_eq!(objects[0].index, Value::from("x"));
        assert_eq!(objects[1].index, Value::from(1));
        let lines = parse("{\"index\": 7, \"question\": \"a\"}\r\n\r\n\"b\"\n").unwrap();
        assert_eq!(
            (lines[0].index.clone(), lines[1].text.as_str()),
            (7.into(), "b")
        );
        for (text, says) in [
            ("{}", "list"),
            ("[]", "no question"),
            ("[1]", "list"),
            ("1", "list"),
            ("\"a\" b", "list"),
            ("", "no question"),
            (r#"["a", " \n"]"#, "empty"),
            (
                r#"[{"index": 1, "question": "a"}, {"index": 1, "question": "b"}]"#,
                "twice",
            ),
        ] {
            assert!(parse(text).unwrap_err().contains(says), "{text}");
        }
    }
}
