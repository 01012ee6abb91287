//! How an answer ends.

/// Why generating ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum FinishReason {
    /// The model ended its answer.
    Stop,
    /// The most tokens allowed, or the end of the context.
    Length,
    /// The caller broke off.
    Cancelled,
}
