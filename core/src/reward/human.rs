//! A person's choice as a reward.

use super::{Response, Reward, RewardError, RewardName};
use std::future::Future;
use std::pin::Pin;

/// Which of two responses is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename_all = "lowercase"))]
pub enum Choice {
    /// The first.
    First,
    /// The second.
    Second,
    /// Neither.
    Same,
}

/// Shows a query and two responses, and waits for a choice; an error in words where there is nobody.
pub type Ask<'a> =
    Box<dyn FnMut(&str, &str, &str) -> Pin<Box<dyn Future<Output = Result<Choice, String>>>> + 'a>;

/// Ranks responses by asking somebody: each new one is held against known ones, by halves, until its place is found.
/// Scores say the order and nothing else.
pub struct Human<'a> {
    ask: Ask<'a>,
    /// Worst first.
    known: Vec<(String, f64)>,
}

impl<'a> Human<'a> {
    /// Asks through `ask`.
    #[must_use]
    pub fn new(ask: Ask<'a>) -> Self {
        Self {
            ask,
            known: Vec::new(),
        }
    }

    async fn place(&mut self, query: &str, response: &str) -> Result<f64, RewardError> {
        let (mut low, mut high) = (0, self.known.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let (other, reward) = &self.known[middle];
            // New and known take turns, so that the place says nothing.
            let swapped = (self.known.len() + middle) % 2 == 1;
            let (a, b) = if swapped {
                (other.as_str(), response)
            } else {
                (response, other.as_str())
            };
            let choice = (self.ask)(query, a, b)
                .await
                .map_err(|reason| RewardError::Failed {
                    name: self.name(),
                    reason,
                })?;
            match (choice, swapped) {
                (Choice::Same, _) => return Ok(*reward),
                (Choice::First, false) | (Choice::Second, true) => low = middle + 1,
                _ => high = middle,
            }
        }
        let below = low.checked_sub(1).map(|at| self.known[at].1);
        let above = self.known.get(low).map(|(_, reward)| *reward);
        Ok(match (below, above) {
            (Some(below), Some(above)) => f64::midpoint(below, above),
            (Some(below), None) => below + 1.0,
            (None, Some(above)) => above - 1.0,
            (None, None) => 0.0,
        })
    }
}

impl Reward for Human<'_> {
    fn name(&self) -> String {
        RewardName::Human.to_string()
    }

    async fn score(
        &mut self,
        query: &str,
        _: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        let mut rewards = Vec::with_capacity(responses.len());
        for response in responses {
            let reward = self.place(query, response.text).await?;
            self.recall(response.text, reward);
            rewards.push(reward);
        }
        Ok(rewards)
    }

    fn recall(&mut self, response: &str, reward: f64) {
        let at = self.known.partition_point(|(_, known)| *known < reward);
        self.known.insert(at, (response.to_owned(), reward));
    }

    fn begin(&mut self, _: &str) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_order_is_the_askeds() {
        let ask: Ask<'_> = Box::new(|_, a, b| {
            let choice = match a.len().cmp(&b.len()) {
                std::cmp::Ordering::Greater => Choice::First,
                std::cmp::Ordering::Less => Choice::Second,
                std::cmp::Ordering::Equal => Choice::Same,
            };
            Box::pin(async move { Ok(choice) })
        });
        let mut human = Human::new(ask);
        let texts = ["aaa", "a", "aaaaa", "aa", "bb", "aaaa"];
        let rewards =
            pollster::block_on(human.score("?", "", &texts.map(Response::ended))).unwrap();
        for (a, ra) in texts.iter().zip(&rewards) {
            for (b, rb) in texts.iter().zip(&rewards) {
                assert_eq!(a.len().cmp(&b.len()), ra.total_cmp(rb), "{a} {b}");
            }
        }
    }
}
