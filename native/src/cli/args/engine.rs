//! What has the model run elsewhere.

use super::at_least_one;
use clap::Args;
use std::time::Duration;

/// Each says it: a heading for all of them would go on over what comes behind.
const HEADING: &str = "Engine";

#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// Have an OpenAI-compatible server run the model, in place of this machine: vLLM, SGLang, llama-server, Ollama, `periapt
    /// serve`. --model is its name for the model then [default: its only one, or the one that it calls default]
    #[arg(long, help_heading = HEADING, value_name = "URL")]
    pub engine: Option<String>,
    /// The environment variable that holds the server's key
    #[arg(long, help_heading = HEADING, value_name = "NAME", requires = "engine")]
    pub engine_key_env: Option<String>,
    /// Seconds for an answer of a server to come
    #[arg(long, help_heading = HEADING, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub engine_timeout: u64,
}

impl EngineArgs {
    /// What an answer has to come in.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.engine_timeout)
    }
}

#[derive(Debug, Clone, Args)]
pub struct RewardServerArgs {
    /// The server of `--reward remote`, as vLLM serves reward models: .../classify (where the address names none), .../pooling or
    /// .../score
    #[arg(long, help_heading = HEADING, value_name = "URL")]
    pub reward_url: Option<String>,
    /// The environment variable that holds that server's key
    #[arg(long, help_heading = HEADING, value_name = "NAME", requires = "reward_url")]
    pub reward_key_env: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct SupportArgs {
    /// With --engine, la and amulet: the likeliest tokens that are looked at, at each token of the answer
    #[arg(long, help_heading = HEADING, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub support: usize,
}
