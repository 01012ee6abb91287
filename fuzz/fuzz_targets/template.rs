//! Any text as a chat template: compiled and rendered over two conversations.

#![no_main]

use libfuzzer_sys::fuzz_target;
use periapt_fuzz::text::{ChatTemplate, Message, Role};

fuzz_target!(|data: &[u8]| {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else {
        return;
    };
    let message = |role, content: &str| Message {
        role,
        content: content.to_owned(),
    };
    let short = [message(Role::User, "Why is the sky blue?")];
    let long = [
        message(Role::System, "Be brief. </s> {{ x }}"),
        message(Role::User, "é 𝄞 \u{feff}\0"),
        message(Role::Assistant, ""),
        message(Role::User, "And now?"),
    ];
    let _ = template.render(&short, true);
    let _ = template.render(&long, false);
});
