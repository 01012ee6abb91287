//! Any text as tokenizer.json, then tokenizer_config.json, then what is typed, with a NUL between: built, and the text
//! encoded and decoded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use periapt_fuzz::text::{Tokenizer, TokenizerSpec};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut parts = text.splitn(3, '\0');
    let json = parts.next().unwrap_or_default();
    let config = parts.next().filter(|config| !config.is_empty());
    let typed = parts.next().unwrap_or("Hello, wörld!\n 42");
    let Ok(spec) = TokenizerSpec::from_json(json, config) else {
        return;
    };
    let Ok(tokenizer) = Tokenizer::new(spec) else {
        return;
    };
    for ids in [tokenizer.encode(typed), tokenizer.encode_with_special(typed)] {
        let Ok(ids) = ids else { continue };
        tokenizer.decode(&ids).expect("the ids are the tokenizer's own");
    }
});
