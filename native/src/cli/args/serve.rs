//! What `serve` takes.

use super::{LoadArgs, at_least_one};
use crate::cli::memory::parse_bytes;
use clap::Args;
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The port; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8642)]
    pub port: u16,
    /// The address to listen on. Beyond this machine (0.0.0.0, say) only the API is served, and --api-key is needed
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Open the page in the browser
    #[arg(long)]
    pub open: bool,
    /// Serve the page in this folder, as it is when the server starts [default: the page that was built into this program]
    #[arg(long, value_name = "DIR")]
    pub page: Option<PathBuf>,
    /// Offer this GGUF file, too, beside those of the store; the first one answers as the API's model `default`
    #[arg(long, value_name = "FILE")]
    pub model: Vec<PathBuf>,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub api: ApiArgs,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// What connections may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Connections at once; for one more, the one that has been idle for the longest is closed
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one)]
    pub max_connections: usize,
    /// Seconds that a connection may take for a request's head, and for its body, or stay without a request
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub head_timeout: u64,
    /// Seconds that a browser may leave an answer unread before its connection is closed
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub stall_timeout: u64,
    /// Requests of the API that may be under way or wait at once; one more is refused (503)
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub max_queue: usize,
    /// Models that may be loaded at once; for one more, and where the memory has no room for it, the one that was asked for the
    /// longest ago leaves [default: 4 where it is known how much memory there is, else 1]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub max_models: Option<usize>,
    /// Bytes of an API request's body, such as 4M
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = parse_bytes)]
    pub max_body: u64,
    /// Seconds that running answers have to end in after Ctrl+C or SIGTERM; a second signal ends them at once
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86400))]
    pub drain_timeout: u64,
}

/// How the API answers.
#[derive(Debug, Args)]
#[command(next_help_heading = "OpenAI's API")]
pub struct ApiArgs {
    /// The preference of chats that name none: what gives it to programs that know nothing of preferences. A model's name
    /// may hold one, too: `default@concise`
    #[arg(long, value_name = "P")]
    pub prefer: Option<String>,
    /// What `periapt learn` learnt of a person, or `me`: what chats that wish for nothing lean to
    #[arg(long, value_name = "FILE", conflicts_with = "prefer")]
    pub persona: Option<PathBuf>,
    /// The key that requests must bring (`Authorization: Bearer KEY`) [default: that of --api-key-env]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    /// The environment variable that holds the key [default: PERIAPT_API_KEY, where there is one]
    #[arg(long, value_name = "NAME")]
    pub api_key_env: Option<String>,
    /// Let pages of this origin ask, too, such as https://chat.example; `*` for all
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// The most tokens of a chat's answer that names no limit
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    pub max_tokens: usize,
}
