//! How the next token is chosen, as settings.

use super::{DecodingError, in_range};

/// How to choose the next token. A temperature of 0 is greedy, and the rest has no say then.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides the scores; below 1e-5 the best token is chosen outright, as at 0: there is nothing left to draw.
    pub temperature: f64,
    /// Keeps the k best tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the smallest set of best tokens whose probabilities reach this sum (Holtzman et al.
    /// 2019, arXiv 1904.09751); 1 keeps all.
    pub top_p: f64,
    /// Keeps tokens of at least this share of the best one's probability (Nguyen et al. 2024,
    /// arXiv 2407.01082); 0 keeps all.
    pub min_p: f64,
    /// Divides the positive scores of tokens the answer holds already, multiplies the negative ones
    /// (Keskar et al. 2019, arXiv 1909.05858, eq. 1); 1 is off.
    pub repetition_penalty: f64,
    /// Subtracted from a token's score for each time the answer holds it; 0 is off.
    pub frequency_penalty: f64,
    /// Subtracted from the score of every token the answer holds; 0 is off.
    pub presence_penalty: f64,
    /// Keeps tokens whose probability under pref is at least this share of its best one's (Li et al. 2023,
    /// arXiv 2210.15097, eq. 3); 0 keeps all.
    pub plausibility: f64,
    /// The most that the policy may differ from the anchor's (pref's) at a token, as KL divergence in nats: strength
    /// is lowered to keep within it. `None` is full strength; infinity too, and reports what it comes to.
    pub kl_budget: Option<f64>,
    /// Seed of the draws.
    pub seed: u64,
}

/// Below it, a temperature leaves nothing but the best token, and f32 no room to divide in.
pub(super) const COLDEST: f64 = 1e-5;

impl Default for Sampling {
    /// Greedy, and everything kept.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            plausibility: 0.0,
            kl_budget: None,
            seed: 0,
        }
    }
}

impl Sampling {
    /// # Errors
    ///
    /// [`DecodingError::OutOfRange`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), DecodingError> {
        in_range("temperature", self.temperature, 0.0, 100.0, "from 0 to 100")?;
        in_range(
            "top-p",
            self.top_p,
            f64::MIN_POSITIVE,
            1.0,
            "above 0 and at most 1",
        )?;
        in_range("min-p", self.min_p, 0.0, 1.0, "from 0 to 1")?;
        let penalty = "from -100 to 100";
        in_range(
            "repetition-penalty",
            self.repetition_penalty,
            0.01,
            100.0,
            "from 0.01 to 100",
        )?;
        in_range(
            "frequency-penalty",
            self.frequency_penalty,
            -100.0,
            100.0,
            penalty,
        )?;
        in_range(
            "presence-penalty",
            self.presence_penalty,
            -100.0,
            100.0,
            penalty,
        )?;
        if let Some(budget) = self.kl_budget.filter(|budget| *budget != f64::INFINITY) {
            in_range("kl-budget", budget, 0.0, f64::MAX, "0 or more, in nats")?;
        }
        in_range("plausibility", self.plausibility, 0.0, 1.0, "from 0 to 1")
    }
}
