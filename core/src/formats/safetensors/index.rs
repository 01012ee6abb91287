use super::{Pairs, SafetensorsError};
use serde::Deserialize;

/// The index of a model in several files (`model.safetensors.index.json`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Each tensor's name and its file's, in the order of the tensors' names.
    pub tensors: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Raw {
    weight_map: Pairs<String>,
}

impl Index {
    /// Parses an index.
    ///
    /// # Errors
    ///
    /// [`SafetensorsError::Json`], and [`SafetensorsError::ShardName`] where it names what can't be a file beside it.
    pub fn parse(json: &[u8]) -> Result<Self, SafetensorsError> {
        let Raw {
            weight_map: Pairs(mut tensors),
        } = serde_json::from_slice(json)?;
        for (_, shard) in &tensors {
            let plain = shard.ends_with(".safetensors")
                && !shard.starts_with('.')
                && !shard.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control());
            if !plain {
                return Err(SafetensorsError::ShardName(shard.clone()));
            }
        }
        tensors.sort();
        Ok(Self { tensors })
    }

    /// The files' names in their order, each with how many tensors it has.
    #[must_use]
    pub fn shards(&self) -> Vec<(&str, usize)> {
        let mut names: Vec<&str> = self.tensors.iter().map(|(_, shard)| &**shard).collect();
        names.sort_unstable();
        let runs = names.chunk_by(|a, b| a == b);
        runs.map(|run| (run[0], run.len())).collect()
    }
}
