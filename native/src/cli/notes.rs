//! What is said on standard error beside an answer.

use crate::terminal::say;
use periapt_core::Session;
use periapt_core::session::Prompting;
use periapt_core::text::SystemPrompt;
use serde_json::{Value, json};

/// Says what the chat template does with system prompts, where it is not what they are meant for.
pub fn of_template(system: Option<SystemPrompt>) {
    match system {
        None | Some(SystemPrompt::Shown) => {}
        Some(SystemPrompt::Folded) => say(
            "this model's chat template has no place for a system prompt: it goes before the question, and with it the \
             preference",
        ),
        Some(SystemPrompt::LeftOut) => say(
            "this model's chat template leaves the system prompt out, and so does this answer: put it into the question",
        ),
    }
}

/// Says what the chat template does with a session's system prompts.
pub fn of_session(session: &Session) {
    of_template(session.system_prompt());
}

/// Says what the chat template made of a request.
pub fn of_prompts(prompting: Prompting) {
    of_template(prompting.system);
    if prompting.question_left_out {
        say("this model's chat template leaves the question out: the model does not see it");
    }
}

/// What records say of the system prompt, where the template does not write it as one.
pub fn recorded(system: Option<SystemPrompt>) -> Option<&'static str> {
    match system? {
        SystemPrompt::Shown => None,
        SystemPrompt::Folded => Some("folded"),
        SystemPrompt::LeftOut => Some("left_out"),
    }
}

/// Puts that into an object.
pub fn record(object: &mut Value, system: Option<SystemPrompt>) {
    if let Some(system) = recorded(system) {
        object["system_prompt"] = json!(system);
    }
}
