//! What is left of a request when all that is known of it was read: nothing, or it is refused by name.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// The last of a struct's flattened fields, which takes no key at all. (serde's `deny_unknown_fields` does not go with
/// `flatten`.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NothingElse;

impl<'de> Deserialize<'de> for NothingElse {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Refuse)
    }
}

struct Refuse;

impl<'de> Visitor<'de> for Refuse {
    type Value = NothingElse;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing else")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NothingElse, A::Error> {
        match map.next_entry::<String, IgnoredAny>()? {
            None => Ok(NothingElse),
            Some((name, _)) => Err(A::Error::custom(format!("unknown field `{name}`"))),
        }
    }
}
