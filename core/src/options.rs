//! What an option is: its name, default, range and help, written once, in a struct of options. The command line's
//! arguments, the requests of all faces, the checks and the page's fields are made from that.

/// An option, as who offers it has to know it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionInfo {
    /// Its name in requests and records; on the command line with dashes.
    pub name: &'static str,
    /// What it is part of; `contract::methods_of` says which methods heed it.
    pub group: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What it counts in, where it has a unit.
    pub unit: Option<&'static str>,
    /// What it may be.
    pub values: Values,
}

/// The values of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values {
    /// A number.
    Number {
        /// Whether it is a whole one.
        whole: bool,
        /// What it is where it is left out; `None` is off.
        default: Option<f64>,
        /// The smallest value.
        min: f64,
        /// The largest value.
        max: f64,
        /// The range that a control shows, and its step.
        control: Control,
    },
    /// One of these words; left out, it is off.
    Words(&'static [&'static str]),
}

/// Where a control begins and ends, which leaves out what nobody would want, and its step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Control {
    /// Its least value.
    pub min: f64,
    /// Its greatest.
    pub max: f64,
    /// From one value to the next.
    pub step: f64,
}

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} = {value} is out of range: it must be {range}")]
pub struct OutOfRange {
    /// The setting.
    pub name: String,
    /// The value given.
    pub value: String,
    /// What it must be.
    pub range: String,
}

/// The type of an option's value.
pub trait OptionValue: Copy {
    /// Whether it is a whole number.
    const WHOLE: bool = true;

    /// The value to hold against the range; `None` where there is nothing to check.
    fn number(self) -> Option<f64>;
}

impl OptionValue for f64 {
    const WHOLE: bool = false;

    fn number(self) -> Option<f64> {
        Some(self)
    }
}

impl OptionValue for Option<f64> {
    const WHOLE: bool = false;

    /// Infinity is a bound that nothing reaches.
    fn number(self) -> Option<f64> {
        self.filter(|value| *value != f64::INFINITY)
    }
}

impl OptionValue for u32 {
    fn number(self) -> Option<f64> {
        Some(f64::from(self))
    }
}

impl OptionValue for u64 {
    fn number(self) -> Option<f64> {
        Some(self as f64)
    }
}

impl OptionValue for usize {
    fn number(self) -> Option<f64> {
        Some(self as f64)
    }
}

/// `value`, where it is finite and within `min..=max`; `range` says so where that can't be said of the numbers.
///
/// # Errors
///
/// [`OutOfRange`] where it is not.
pub fn in_range(
    name: &str,
    value: impl OptionValue,
    (min, max): (f64, f64),
    range: Option<&str>,
) -> Result<(), OutOfRange> {
    let Some(value) = value.number() else {
        return Ok(());
    };
    if value.is_finite() && (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OutOfRange {
        name: name.replace('_', "-"),
        value: value.to_string(),
        range: range.map_or_else(|| format!("from {min} to {max}"), str::to_owned),
    })
}

/// A struct of options:
///
/// ```text
/// options! {
///     /// What they are.
///     pub struct Name in "group" {
///         /// The help text.
///         #[arg(what clap needs beside name, help and default)]
///         field: f64 = 1.0, (0.0, 2.0), control (0.0, 2.0, 0.1);
///     }
/// }
/// ```
///
/// `"..."` after the range says what it is in words, `unit "..."` what the option counts in, and `group "..."` is its own.
/// Without a default the field is an `Option`. One of a few words has these in place of range and control:
/// `field: Option<Word>, words Word::NAMES;`. The struct has `Default`, `check_ranges` and `OPTIONS`; it is read leniently:
/// what is left out has its default.
macro_rules! options {
    (
        $(#[$meta:meta])*
        pub struct $name:ident in $group:literal {
            $(
                $(#[doc = $help:literal])+
                $(#[arg($($arg:tt)*)])?
                $(#[serde($($serde:tt)*)])?
                $(#[ts($($ts:tt)*)])?
                $field:ident: $type:ty $(= $default:expr)? $(, ($min:expr, $max:expr))? $(, $says:literal)? $(, unit $unit:literal)?
                $(, group $own:literal)? $(, control ($least:expr, $most:expr, $step:expr))? $(, words $words:expr)?;
            )+
        }
    ) => {
        #[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[cfg_attr(feature = "contract", derive(clap::Args, ts_rs::TS))]
        $(#[$meta])*
        pub struct $name {
            $(
                $(#[doc = $help])+
                #[cfg_attr(feature = "contract", arg(long, $($($arg)*)?))]
                $(#[cfg_attr(feature = "contract", arg(default_value_t = $default))])?
                $(#[serde($($serde)*)])?
                $(#[cfg_attr(feature = "contract", ts($($ts)*))])?
                pub $field: $type,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::options::options!(@default $($default)?),)+ }
            }
        }

        impl $name {
            /// What there is to choose.
            pub const OPTIONS: &[$crate::options::OptionInfo] = &[$($crate::options::OptionInfo {
                name: stringify!($field),
                group: $crate::options::options!(@group $group $($own)?),
                help: concat!($($help),+),
                unit: $crate::options::options!(@some $($unit)?),
                values: $crate::options::options!(
                    @values $type, ($($default)?) ($($min, $max)?) ($($least, $most, $step)?) ($($words)?)
                ),
            },)+];

            /// # Errors
            ///
            /// [`OutOfRange`](crate::options::OutOfRange) for the first option outside its range.
            pub fn check_ranges(&self) -> Result<(), $crate::options::OutOfRange> {
                $(
                    let says = $crate::options::options!(@some $($says)?);
                    let range = $crate::options::options!(@range $($min, $max)?);
                    $crate::options::in_range(stringify!($field), self.$field, range, says)?;
                )+
                Ok(())
            }
        }
    };
    (@default) => { None };
    (@default $default:expr) => { $default };
    (@values $type:ty, ($($default:expr)?) ($min:expr, $max:expr) ($least:expr, $most:expr, $step:expr) ()) => {
        $crate::options::Values::Number {
            whole: <$type as $crate::options::OptionValue>::WHOLE,
            default: $crate::options::options!(@number $($default)?),
            min: $min,
            max: $max,
            control: $crate::options::Control { min: $least, max: $most, step: $step },
        }
    };
    (@values $type:ty, () () () ($words:expr)) => { $crate::options::Values::Words($words) };
    (@range) => { (f64::NEG_INFINITY, f64::INFINITY) };
    (@range $min:expr, $max:expr) => { ($min, $max) };
    (@number) => { None };
    (@number $default:expr) => { Some($default as f64) };
    (@group $group:literal) => { $group };
    (@group $group:literal $own:literal) => { $own };
    (@some) => { None };
    (@some $value:expr) => { Some($value) };
}

pub(crate) use options;
