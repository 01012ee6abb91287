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
use std::fmt;
use std::marker::PhantomData;

/// Tensors of a file, or of an index; no real model comes near.
pub const MAX_TENSORS: usize = 1 << 16;

/// A JSON object's keys and values, in order, no key twice.
struct Pairs<T>(Vec<(String, T)>);

/// A value that is read by its key.
trait Keyed<'de>: Sized {
    fn read<A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Self, A::Error>;
}

impl<'de> Keyed<'de> for String {
    fn read<A: MapAccess<'de>>(_: &str, map: &mut A) -> Result<Self, A::Error> {
        map.next_value()
    }
}

impl<'de, T: Keyed<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Keyed<'de>> Visitor<'de> for Object<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a key for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let error = <A::Error as serde::de::Error>::custom::<String>;
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if pairs.len() > MAX_TENSORS {
                        return Err(error(format!("it has more than {MAX_TENSORS} keys")));
                    }
                    let value = T::read(&key, &mut map)?;
                    pairs.push((key, value));
                }
                let mut keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
                keys.sort_unstable();
                match keys.windows(2).find(|two| two[0] == two[1]) {
                    Some(two) => Err(error(format!("{:?} is in it twice", two[0]))),
                    None => Ok(Pairs(pairs)),
                }
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}
