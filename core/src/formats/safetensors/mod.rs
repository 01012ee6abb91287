//! Reader of safetensors files' headers and of the index of a model in several such files (the format: the README of
//! the safetensors project). A file is the header's length in 8 bytes, the header in JSON, and the tensors' bytes.
//!
//! The crate of that name wants the whole file in memory and lets a tensor's name stand twice; this reader does not.

mod error;
mod header;
mod index;

#[cfg(test)]
mod tests;

pub use error::SafetensorsError;
pub use header::{Dtype, Header, Tensor};
pub use index::Index;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

/// Tensors of a file, or of an index; no real model comes near.
pub const MAX_TENSORS: usize = 1 << 16;

/// A JSON object's keys and values, in order, no key twice.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a key for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let error = <A::Error as serde::de::Error>::custom::<String>;
                let (mut pairs, mut keys) = (Vec::new(), HashSet::new());
                while let Some(key) = map.next_key::<String>()? {
                    if !keys.insert(key.clone()) {
                        return Err(error(format!("{key:?} is in it twice")));
                    }
                    if pairs.len() > MAX_TENSORS {
                        return Err(error(format!("it has more than {MAX_TENSORS} keys")));
                    }
                    pairs.push((key, map.next_value()?));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}
