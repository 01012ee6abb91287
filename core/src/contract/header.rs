//! The headers of traces and records: all that decides what follows them, as the engine knows it. Who writes a file adds
//! where its model lies and what that hashes to.

use crate::decoding::{AmuletParams, MethodName, Sampling};
use crate::device::DeviceInfo;
use crate::model::KvType;
use crate::text::{Message, SystemPrompt, Today};
use crate::tpo::Options;
use serde::{Deserialize, Serialize, Serializer};

/// The number of the traces' format.
pub const TRACE_FORMAT: u32 = 1;

/// The number of the records' format.
pub const RECORD_FORMAT: u32 = 1;

/// A model, and the file it is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct ModelFile {
    /// The name that the file has for it.
    pub name: Option<String>,
    /// Where it lies; the caller's to say, and empty before.
    pub path: String,
    /// The file's hash; the caller's, too.
    pub sha256: String,
}

/// One prompt of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct StreamLine {
    /// Its name.
    pub name: String,
    /// A system prompt of its own.
    pub system: Option<String>,
    /// The preference it is given.
    pub preference: Option<String>,
    /// The weight that its logits take.
    pub weight: f64,
    /// 0 for the model itself, else a companion.
    pub model: usize,
}

/// All that decides an answer: a trace's first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct RunHeader {
    /// [`TRACE_FORMAT`].
    pub format: u32,
    /// The version that wrote it.
    pub periapt: String,
    /// The model.
    pub model: ModelFile,
    /// Of the chat template's text, absent where the model has none.
    pub template_sha256: Option<String>,
    /// What computed.
    #[serde(serialize_with = "sorted")]
    pub device: DeviceInfo,
    /// How keys and values are stored.
    pub kv: KvType,
    /// The day that the chat template tells the model, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub date: Option<Today>,
    /// The system prompt that was given.
    pub system: Option<String>,
    /// The preference.
    pub preference: Option<String>,
    /// The turns before the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "contract", ts(as = "Option<Vec<Message>>", optional))]
    pub earlier: Vec<Message>,
    /// The question.
    pub question: String,
    /// What the chat template did with system prompts, where it did not write them as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub system_prompt: Option<SystemPrompt>,
    /// The method.
    pub method: MethodName,
    /// Its strength.
    pub strength: f64,
    /// What that follows from, of Amulet.
    pub amulet: Option<AmuletParams>,
    /// The prompts, in the order of their logits.
    pub streams: Vec<StreamLine>,
    /// How tokens are drawn.
    #[serde(serialize_with = "sorted")]
    pub sampling: Sampling,
    /// The most tokens.
    pub max_new_tokens: usize,
    /// The JSON schema that the answer keeps to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional, type = "unknown"))]
    pub json_schema: Option<serde_json::Value>,
    /// Whether the prompt ends with the template's generation prompt.
    pub generation_prompt: bool,
    /// Whether decoding is as in the Amulet paper's public code.
    pub paper_compat: bool,
}

/// The type of a record's first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum HeaderKind {
    /// A header.
    Header,
}

/// A model by its name and hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct ModelHash {
    /// The name that the file has for it.
    pub name: Option<String>,
    /// The file's hash; the caller's to say.
    pub sha256: Option<String>,
}

/// All that decides a refinement: a record's first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct RecordHeader {
    /// That it is one.
    #[serde(rename = "type")]
    pub kind: HeaderKind,
    /// [`RECORD_FORMAT`].
    pub format: u32,
    /// The version that wrote it.
    pub periapt: String,
    /// The model.
    pub model: ModelHash,
    /// The address of the server that ran it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub engine: Option<String>,
    /// What computed; null for a server.
    #[serde(serialize_with = "sorted")]
    pub device: Option<DeviceInfo>,
    /// How keys and values are stored; not known of a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub kv: Option<KvType>,
    /// The reward, as it was asked for.
    pub reward: String,
    /// The model behind the reward `classifier` or `remote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub reward_model: Option<ModelHash>,
    /// The address of the server that scored, for the reward `remote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub reward_engine: Option<String>,
    /// The preference.
    pub preference: Option<String>,
    /// The preference in other words, for the reward `fit`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "contract", ts(as = "Option<Vec<String>>", optional))]
    pub reworded: Vec<String>,
    /// How responses are decoded.
    pub method: MethodName,
    /// The responses' system prompt.
    pub system: Option<String>,
    /// What the chat template did with system prompts, where it did not write them as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub system_prompt: Option<SystemPrompt>,
    /// The day that the chat template tells the model, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub date: Option<Today>,
    /// The name of the set of prompts, and the sha256 of its four templates.
    pub prompts: (String, String),
    /// How the run goes.
    pub options: Options,
}

/// What a model file says of itself, and how it is run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct ModelInfo {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Weights.
    pub parameters: usize,
    /// Layers.
    pub layers: usize,
    /// Tokens it knows.
    pub vocab: usize,
    /// Tokens that a row may take at most.
    pub context: usize,
    /// How keys and values are stored.
    pub kv: KvType,
    /// The day that its chat template is told: when the model was loaded; null where it asks for none.
    pub date: Option<Today>,
    /// What its chat template does with a system prompt: writes it, has it put before the question, or leaves it out; null
    /// where that can't be said.
    pub system_prompt: Option<SystemPrompt>,
}

/// With keys in the order of the alphabet, as these objects have always been written.
fn sorted<T: Serialize, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(value).map_err(serde::ser::Error::custom)?;
    value.sort_all_objects();
    value.serialize(to)
}
