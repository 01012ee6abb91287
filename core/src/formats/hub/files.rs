//! The files of a model's folder on the hub, by name.

/// What the model is.
pub const CONFIG: &str = "config.json";
/// Its tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
/// What the tokenizer's file leaves open.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Its chat template, where it has a file of its own.
pub const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// The tokens that end an answer, among others.
pub const GENERATION_CONFIG: &str = "generation_config.json";
/// Which file has which tensor, of weights in several files.
pub const INDEX: &str = "model.safetensors.index.json";
/// Weights in one file.
pub const WEIGHTS: &str = "model.safetensors";

/// The texts, in the order in which they say whether it is worth going on: the first two must be there. (An old folder's
/// `chat_template.json` is read where it is there, and never fetched.)
pub const TEXTS: [&str; 6] = [
    CONFIG,
    TOKENIZER,
    INDEX,
    TOKENIZER_CONFIG,
    CHAT_TEMPLATE,
    GENERATION_CONFIG,
];
