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
    getters!(f32, opt_f32, f32, "a floating-point number", value => match value {
        Value::F32(number) => Some(*number),
        Value::F64(number) => Some(*number as f32),
        _ => None,
    });
    getters!(bool, opt_bool, bool, "a boolean", value => match value {
        Value::Bool(bit) => Some(*bit),
        _ => None,
    });
    getters!(strings, opt_strings, &[String], "an array of strings", value => match value {
        Value::Array(Array::Strings(strings)) => Some(strings.as_slice()),
        _ => None,
    });
    getters!(i32s, opt_i32s, &[i32], "an array of I32", value => match value {
        Value::Array(Array::I32(numbers)) => Some(numbers.as_slice()),
        _ => None,
    });
    getters!(f32s, opt_f32s, &[f32], "an array of F32", value => match value {
        Value::Array(Array::F32(numbers)) => Some(numbers.as_slice()),
        _ => None,
    });
}

impl Value {
    /// The value of any of the integer types.
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
            _ => return None,
        })
    }

    /// Its type in words, and an integer's value, which may be what is wrong with it.
    fn describe(&self) -> String {
        let name = type_name(self.type_id());
        match (self, self.integer()) {
            (_, Some(integer)) => format!("{name} {integer}"),
            (Value::Array(array), _) => {
                let (len, element) = (array.len(), type_name(array.element_type_id()));
                format!("an array of {len} {element}")
            }
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
            Value::String(_) => value_type::STRING,
            Value::Array(_) => value_type::ARRAY,
        }
    }
}

impl Array {
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
            Array::Strings(_) => value_type::STRING,
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
