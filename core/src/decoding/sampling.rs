//! How the next token is chosen, as settings.

use crate::options::{OptionValue, options};

/// What the strength follows from token to token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(clap::ValueEnum, ts_rs::TS))]
pub enum Adaptive {
    /// The disagreement of the two prompts: k times JSD(softmax p, softmax b) / ln 2, from 0 where they agree to k where no
    /// token is likely under both (AdaCAD, Wang et al. 2024, arXiv 2409.07394)
    Jsd,
}

impl Adaptive {
    /// The words for them.
    pub const NAMES: &[&str] = &["jsd"];
}

impl OptionValue for Option<Adaptive> {
    const WHOLE: bool = false;

    fn number(self) -> Option<f64> {
        None
    }
}

options! {
    /// How to choose the next token. A temperature of 0 is greedy, and top-k, top-p and min-p have no say then; the guards have.
    ///
    /// top-p is Holtzman et al. 2019 (arXiv 1904.09751), min-p Nguyen et al. 2024 (arXiv 2407.01082), the repetition penalty
    /// Keskar et al. 2019 (arXiv 1909.05858, eq. 1): it divides positive scores and multiplies negative ones. Plausibility
    /// is Li et al. 2023 (arXiv 2210.15097, eq. 3). The nucleus is top-p of the anchor's distribution (pref's, of guidance the
    /// first stream's; at temperature 1, before penalties), taken before leaning as the code does that the Linear Alignment
    /// paper evaluated: `la` with a nucleus of 0.8, greedily. Of base and pref alone both act on the one prompt, so a greedy
    /// answer stays the same.
    ///
    /// A KL budget is a cap on the worst tokens, and no better trade: of all ways to spend a sum of KL, a constant strength
    /// gives the highest mean of log p - log b. With a budget of infinity strength stays, and the KL is reported. Where the
    /// strength is adaptive, a budget caps what that gives; the divergence is that of the whole distributions, cut or not.
    #[cfg_attr(feature = "contract", command(next_help_heading = "Decoding"))]
    pub struct Sampling in "sampling" {
        /// Divides the scores before drawing; 0, and what is below 0.00001, takes the best token
        #[arg(allow_negative_numbers = true)]
        temperature: f64 = 0.0, (0.0, 100.0), control (0.0, 4.0, 0.05);
        /// Draw from the K best tokens; 0 means all
        #[arg(value_name = "K")]
        top_k: usize = 0, (0.0, u64::MAX as f64), control (0.0, 100_000.0, 1.0);
        /// Draw from the best tokens whose probabilities reach this sum
        #[arg(value_name = "P", allow_negative_numbers = true)]
        top_p: f64 = 1.0, (f64::MIN_POSITIVE, 1.0), "above 0 and at most 1", control (0.01, 1.0, 0.01);
        /// Draw from tokens with at least this share of the best one's probability
        #[arg(value_name = "P", allow_negative_numbers = true)]
        min_p: f64 = 0.0, (0.0, 1.0), control (0.0, 1.0, 0.01);
        /// Weakens tokens the answer holds already; 1 is off
        #[arg(value_name = "R", allow_negative_numbers = true)]
        repetition_penalty: f64 = 1.0, (0.01, 100.0), control (0.1, 4.0, 0.05);
        /// Subtracted from a token's score for each time the answer holds it
        #[arg(value_name = "F", allow_negative_numbers = true)]
        frequency_penalty: f64 = 0.0, (-100.0, 100.0), control (-2.0, 2.0, 0.05);
        /// Subtracted from the score of every token the answer holds
        #[arg(value_name = "F", allow_negative_numbers = true)]
        presence_penalty: f64 = 0.0, (-100.0, 100.0), control (-2.0, 2.0, 0.05);
        /// Keep tokens with at least this share of the best one's probability under pref; 0 keeps all
        #[arg(value_name = "B", allow_negative_numbers = true)]
        plausibility: f64 = 0.0, (0.0, 1.0), group "guard", control (0.0, 1.0, 0.01);
        /// Keep the best tokens under pref (of guidance: the first stream) whose probabilities reach this sum, before leaning; 1
        /// keeps all. The Linear Alignment paper's evaluation has 0.8
        #[arg(value_name = "P", allow_negative_numbers = true)]
        nucleus: f64 = 1.0, (f64::MIN_POSITIVE, 1.0), "above 0 and at most 1", group "guard", control (0.01, 1.0, 0.01);
        /// Lower the strength at each token until the policy's KL divergence from pref's (of guidance: the first stream's)
        /// is E nats at most; `inf` keeps the strength and reports the KL
        #[arg(value_name = "E", allow_negative_numbers = true)]
        #[serde(with = "budget")]
        #[ts(type = "number | \"inf\" | null")]
        kl_budget: Option<f64>, (0.0, f64::MAX), "0 or more, in nats", unit "nats a token", group "guard", control (0.0, 10.0, 0.05);
        /// Let the strength follow the disagreement of the two prompts, token by token: k times JSD / ln 2 (AdaCAD). Beside a KL
        /// budget, the lower of the two strengths is taken
        #[arg(value_enum, value_name = "BY")]
        adaptive: Option<Adaptive>, group "guard", words Adaptive::NAMES;
        /// Seed of the draws
        seed: u64 = 0, (0.0, u64::MAX as f64), control (0.0, 4_294_967_295.0, 1.0);
    }
}

/// Below it, a temperature leaves nothing but the best token, and f32 no room to divide in.
pub(super) const COLDEST: f64 = 1e-5;

/// JSON has no infinity, and null is no budget at all: it is written `"inf"`.
mod budget {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Budget {
        Nats(f64),
        Word(Infinite),
    }

    #[derive(Serialize, Deserialize)]
    enum Infinite {
        #[serde(rename = "inf")]
        Inf,
    }

    pub fn serialize<S: Serializer>(budget: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        let written = budget.map(|nats| match nats == f64::INFINITY {
            true => Budget::Word(Infinite::Inf),
            false => Budget::Nats(nats),
        });
        written.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        let read = Option::<Budget>::deserialize(from)?;
        Ok(read.map(|budget| match budget {
            Budget::Nats(nats) => nats,
            Budget::Word(Infinite::Inf) => f64::INFINITY,
        }))
    }
}
