//! The day that templates ask for.

use std::fmt;
use std::str::FromStr;

/// A day, given by the caller: core knows no clock. It is written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(type = "string"))]
pub struct Today {
    /// The year of our time.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl fmt::Display for Today {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day } = self;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl From<Today> for String {
    fn from(today: Today) -> Self {
        today.to_string()
    }
}

impl TryFrom<String> for Today {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Today {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut parts = text.splitn(3, '-');
            let mut next = |digits: usize| {
                let part = parts.next()?;
                let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
                part.parse::<u16>().ok().filter(|_| plain)
            };
            let (year, month, day) = (next(4)?, next(2)?, next(2)?);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 => 28 + u16::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let real = year > 0 && (1..=12).contains(&month) && (1..=days).contains(&day);
            real.then_some(Self {
                year,
                month: month as u8,
                day: day as u8,
            })
        };
        parse().ok_or_else(|| format!("`{text}` is no day: write it as 2026-03-07"))
    }
}

impl Today {
    /// The day, at midnight, as Python's `strftime` writes it on Linux; at most `limit` bytes.
    pub(super) fn format(self, format: &str, limit: usize) -> Result<String, String> {
        super::strftime::format(self, format, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written() {
        for text in ["2026-03-07", "2024-02-29", "2000-02-29", "0001-12-31"] {
            assert_eq!(
                text.parse::<Today>().map(|day| day.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "",
            "2026",
            "2026-3-7",
            "2026-03-07-01",
            "2023-02-29",
            "1900-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-04-31",
            "2026-01-00",
            "0000-01-01",
            "+026-01-01",
            "2026/01/01",
            "２０２６-01-01",
        ] {
            assert!(text.parse::<Today>().is_err(), "{text}");
        }
    }
}
