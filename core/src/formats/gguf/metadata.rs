use super::error::GgufError;
use std::collections::BTreeMap;

/// A file's metadata: keys such as `general.architecture`, and their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, Value>);

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each holds what its name says")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    /// A string that is not UTF-8; it can only be written again.
    Bytes(Vec<u8>),
    Array(Array),
}

/// A metadata array: values of one type, which may be arrays again, to a depth of
/// [`MAX_ARRAY_DEPTH`](super::MAX_ARRAY_DEPTH).
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each holds what its name says")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    Strings(Vec<String>),
    /// Strings that are not all UTF-8; they can only be written again.
    Bytes(Vec<Vec<u8>>),
    Nested(Vec<Array>),
}

/// The numbers of the value types (`gguf_metadata_value_type` in the specification).
pub(super) mod value_type {
    pub(in super::super) const U8: u32 = 0;
    pub(in super::super) const I8: u32 = 1;
    pub(in super::super) const U16: u32 = 2;
    pub(in super::super) const I16: u32 = 3;
    pub(in super::super) const U32: u32 = 4;
    pub(in super::super) const I32: u32 = 5;
    pub(in super::super) const F32: u32 = 6;
    pub(in super::super) const BOOL: u32 = 7;
    pub(in super::super) const STRING: u32 = 8;
    pub(in super::super) const ARRAY: u32 = 9;
    pub(in super::super) const U64: u32 = 10;
    pub(in super::super) const I64: u32 = 11;
    pub(in super::super) const F64: u32 = 12;
}

/// Defines the getter of a key that may be missing, `$opt`, and of one that must be there, `$get`.
/// `$read` is `None` where `$value` has the wrong type.
macro_rules! getters {
    ($get:ident, $opt:ident, $type:ty, $wanted:literal, $value:ident => $read:expr) => {
        #[doc = concat!("The value of `key`: ", $wanted, ".")]
        ///
        /// # Errors
        ///
        /// [`GgufError::MissingKey`] or [`GgufError::WrongType`].
        pub fn $get(&self, key: &str) -> Result<$type, GgufError> {
            self.$opt(key)?
                .ok_or_else(|| GgufError::MissingKey(key.to_owned()))
        }

        #[doc = concat!("The value of `key`, where there is one: ", $wanted, ".")]
        ///
        /// # Errors
        ///
        /// [`GgufError::WrongType`].
        pub fn $opt(&self, key: &str) -> Result<Option<$type>, GgufError> {
            let Some($value) = self.get(key) else {
                return Ok(None);
            };
            match $read {
                Some(value) => Ok(Some(value)),
                None => Err(GgufError::WrongType {
                    key: key.to_owned(),
                    found: $value.describe(),
                    wanted: $wanted,
                }),
            }
        }
    };
}

impl Metadata {
    /// Every key and its value, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Sets `key`; the value it had before.
    pub fn insert(&mut self, key: String, value: Value) -> Option<Value> {
        self.0.insert(key, value)
    }

    /// Takes `key` out; the value it had.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    getters!(str, opt_str, &str, "a string", value => match value {
        Value::String(string) => Some(string.as_str()),
        _ => None,
    });
    getters!(u32, opt_u32, u32, "a whole number from 0 to 4294967295", value => {
        value.integer().and_then(|integer| u32::try_from(integer).ok())
    });
    getters!(f32, opt_f32, f32, "a number", value => value.number().map(|number| number as f32));
    getters!(bool, opt_bool, bool, "a boolean", value => match (value, value.integer()) {
        (Value::Bool(bit), _) => Some(*bit),
        (_, Some(0)) => Some(false),
        (_, Some(1)) => Some(true),
        _ => None,
    });
    getters!(strings, opt_strings, &[String], "an array of strings", value => match value {
        Value::Array(Array::Strings(strings)) => Some(strings.as_slice()),
        Value::Array(array) if array.is_empty() => Some(&[][..]),
        _ => None,
    });
    getters!(i32s, opt_i32s, Vec<i32>, "an array of whole numbers", value => match value {
        Value::Array(array) => {
            array.values(|value| value.integer().and_then(|integer| i32::try_from(integer).ok()))
        }
        _ => None,
    });
    getters!(f32s, opt_f32s, Vec<f32>, "an array of numbers", value => match value {
        Value::Array(array) => array.values(|value| value.number().map(|number| number as f32)),
        _ => None,
    });

    /// The id that `key` holds. `None` also where it is none that a token can have, which is how some files say that
    /// there is none.
    ///
    /// # Errors
    ///
    /// [`GgufError::WrongType`].
    pub fn opt_id(&self, key: &str) -> Result<Option<u32>, GgufError> {
        Ok(self.opt_ids(key)?.first().copied())
    }

    /// The ids that `key` holds, one or an array of them, as [`Metadata::opt_id`] has them.
    ///
    /// # Errors
    ///
    /// [`GgufError::WrongType`].
    pub fn opt_ids(&self, key: &str) -> Result<Vec<u32>, GgufError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let ids = match value {
            Value::Array(array) => array.values(Value::integer),
            value => value.integer().map(|id| vec![id]),
        };
        let ids = ids.ok_or_else(|| GgufError::WrongType {
            key: key.to_owned(),
            found: value.describe(),
            wanted: "a token's id",
        })?;
        Ok(ids
            .into_iter()
            .filter_map(|id| u32::try_from(id).ok())
            .collect())
    }

    /// The text of `key` to be shown, what is no UTF-8 in it replaced; `None` where there is no text.
    #[must_use]
    pub fn display(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

impl Value {
    /// The whole number that it is: of any of the integer types, a float without a fraction, or an array that says the
    /// same for each layer.
    fn integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(n) => n.into(),
            Value::I8(n) => n.into(),
            Value::U16(n) => n.into(),
            Value::I16(n) => n.into(),
            Value::U32(n) => n.into(),
            Value::I32(n) => n.into(),
            Value::U64(n) => n.into(),
            Value::I64(n) => n.into(),
            // Beyond 2^53 a float says no whole number exactly.
            Value::F32(_) | Value::F64(_) => {
                let number = self.number()?;
                let exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
                return exact.then_some(number as i128);
            }
            Value::Array(ref array) => {
                let numbers = array.values(Value::integer)?;
                let (first, rest) = numbers.split_first()?;
                return rest.iter().all(|n| n == first).then_some(*first);
            }
            _ => return None,
        })
    }

    /// The number that it is, whole or not.
    fn number(&self) -> Option<f64> {
        match *self {
            Value::F32(number) => Some(number.into()),
            Value::F64(number) => Some(number),
            _ => self.integer().map(|integer| integer as f64),
        }
    }

    /// Its type in words, and an integer's value, which may be what is wrong with it.
    fn describe(&self) -> String {
        let name = type_name(self.type_id());
        match (self, self.integer()) {
            (Value::Array(array), _) => {
                let (len, element) = (array.len(), type_name(array.element_type_id()));
                let broken = match array {
                    Array::Bytes(strings) => {
                        strings.iter().position(|s| str::from_utf8(s).is_err())
                    }
                    _ => None,
                };
                match broken {
                    Some(index) => {
                        format!("an array of {len} {element} whose number {index} is not UTF-8")
                    }
                    None => format!("an array of {len} {element}"),
                }
            }
            (Value::Bytes(_), _) => format!("{name} that is not UTF-8"),
            (_, Some(integer)) => format!("{name} {integer}"),
            _ => name.to_owned(),
        }
    }

    /// The type's number in the file.
    pub(super) fn type_id(&self) -> u32 {
        match self {
            Value::U8(_) => value_type::U8,
            Value::I8(_) => value_type::I8,
            Value::U16(_) => value_type::U16,
            Value::I16(_) => value_type::I16,
            Value::U32(_) => value_type::U32,
            Value::I32(_) => value_type::I32,
            Value::U64(_) => value_type::U64,
            Value::I64(_) => value_type::I64,
            Value::F32(_) => value_type::F32,
            Value::F64(_) => value_type::F64,
            Value::Bool(_) => value_type::BOOL,
            Value::String(_) | Value::Bytes(_) => value_type::STRING,
            Value::Array(_) => value_type::ARRAY,
        }
    }
}

impl Array {
    /// What `read` makes of every value; `None` where it makes nothing of one, or it is of strings.
    fn values<T>(&self, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        macro_rules! each {
            ($values:expr, $kind:ident) => {
                $values
                    .iter()
                    .map(|value| read(&Value::$kind(*value)))
                    .collect()
            };
        }
        match self {
            Array::U8(values) => each!(values, U8),
            Array::I8(values) => each!(values, I8),
            Array::U16(values) => each!(values, U16),
            Array::I16(values) => each!(values, I16),
            Array::U32(values) => each!(values, U32),
            Array::I32(values) => each!(values, I32),
            Array::U64(values) => each!(values, U64),
            Array::I64(values) => each!(values, I64),
            Array::F32(values) => each!(values, F32),
            Array::F64(values) => each!(values, F64),
            Array::Bool(values) => each!(values, Bool),
            other => other.is_empty().then(Vec::new),
        }
    }

    /// How many values it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Array::U8(values) => values.len(),
            Array::I8(values) => values.len(),
            Array::U16(values) => values.len(),
            Array::I16(values) => values.len(),
            Array::U32(values) => values.len(),
            Array::I32(values) => values.len(),
            Array::U64(values) => values.len(),
            Array::I64(values) => values.len(),
            Array::F32(values) => values.len(),
            Array::F64(values) => values.len(),
            Array::Bool(values) => values.len(),
            Array::Strings(values) => values.len(),
            Array::Bytes(values) => values.len(),
            Array::Nested(values) => values.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of its values' type in the file.
    pub(super) fn element_type_id(&self) -> u32 {
        match self {
            Array::U8(_) => value_type::U8,
            Array::I8(_) => value_type::I8,
            Array::U16(_) => value_type::U16,
            Array::I16(_) => value_type::I16,
            Array::U32(_) => value_type::U32,
            Array::I32(_) => value_type::I32,
            Array::U64(_) => value_type::U64,
            Array::I64(_) => value_type::I64,
            Array::F32(_) => value_type::F32,
            Array::F64(_) => value_type::F64,
            Array::Bool(_) => value_type::BOOL,
            Array::Strings(_) | Array::Bytes(_) => value_type::STRING,
            Array::Nested(_) => value_type::ARRAY,
        }
    }
}

fn type_name(id: u32) -> &'static str {
    const NAMES: [&str; 13] = [
        "U8", "I8", "U16", "I16", "U32", "I32", "F32", "BOOL", "STRING", "ARRAY", "U64", "I64",
        "F64",
    ];
    NAMES[id as usize]
}
