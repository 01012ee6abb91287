//! Any vocabulary, as JSON or as the lines of a GGUF file's lists: built, and then text encoded and decoded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use periapt_fuzz::text::{Tokenizer, TokenizerSpec};

/// Lines: model, pre-tokenizer, ids of bos and eos, then tokens and, after an empty line, merges. A token that begins
/// with a tab is of the type that the next character names.
fn from_lines(text: &str) -> TokenizerSpec {
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let (model, pre, ids) = (next(), next(), next());
    let mut ids = ids.split(' ').map(|id| id.parse().ok());
    let mut spec = TokenizerSpec {
        model,
        pre: Some(pre),
        bos: ids.next().flatten(),
        eos: ids.next().flatten(),
        ..TokenizerSpec::default()
    };
    let mut types = Vec::new();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (kind, token) = match line.strip_prefix('\t').and_then(|rest| rest.split_at_checked(1)) {
            Some((kind, token)) => (kind.parse().unwrap_or(1), token),
            None => (1, line),
        };
        types.push(kind);
        spec.tokens.push(token.to_owned());
    }
    spec.merges = lines.map(str::to_owned).collect();
    spec.token_types = Some(types);
    spec
}

fuzz_target!(|data: &[u8]| {
    // What is to be encoded stands after a NUL.
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (vocabulary, typed) = text.split_once('\0').unwrap_or((text, "Hello, wörld!\n 42"));
    let Ok(tokenizer) = Tokenizer::new(from_lines(vocabulary)) else {
        return;
    };
    for ids in [tokenizer.encode(typed), tokenizer.encode_with_special(typed)] {
        let Ok(ids) = ids else { continue };
        tokenizer.decode(&ids).expect("the ids are the tokenizer's own");
        let mut stream = tokenizer.detokenize_stream();
        for id in ids {
            let _ = stream.push(id);
        }
    }
});
