//! Dates as templates ask for them.

use std::fmt;
use std::str::FromStr;

/// A day, given by the caller: core knows no clock. It is written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Today {
    /// The year of our time.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl fmt::Display for Today {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day } = self;
        write!(f, "{year:04}-{month:02}-{day:02}")
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
    /// The day as Python's `strftime` writes it; `Err` with the directive that is not about days.
    pub(super) fn format(self, format: &str) -> Result<String, String> {
        let month = MONTHS[usize::from(self.month.clamp(1, 12)) - 1];
        let mut text = String::new();
        let mut rest = format.chars();
        while let Some(character) = rest.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            let directive = rest.next();
            text += &match directive {
                Some('Y') => self.year.to_string(),
                Some('y') => format!("{:02}", self.year % 100),
                Some('m') => format!("{:02}", self.month),
                Some('d') => format!("{:02}", self.day),
                Some('B') => month.to_owned(),
                Some('b') => month[..3].to_owned(),
                Some('A') => self.weekday().to_owned(),
                Some('a') => self.weekday()[..3].to_owned(),
                Some('%') => "%".to_owned(),
                other => return Err(other.map_or("%".to_owned(), |c| format!("%{c}"))),
            };
        }
        Ok(text)
    }

    /// Zeller's congruence for the Gregorian calendar, Sunday first.
    fn weekday(self) -> &'static str {
        let (mut year, mut month) = (usize::from(self.year), usize::from(self.month));
        if month < 3 {
            year = year.saturating_sub(1);
            month += 12;
        }
        let days = usize::from(self.day) + 13 * (month + 1) / 5 + year + year / 4 + year / 400;
        // `6 * (year / 100)` is minus that, in sevens; Saturday is zero.
        DAYS[(days + 6 * (year / 100) + 6) % 7]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_writes_it() {
        let day = |year, month, day| Today { year, month, day };
        let all = "%d %b %Y %B %a %A %y-%m %%";
        let cases = [
            (day(2026, 3, 7), "07 Mar 2026 March Sat Saturday 26-03 %"),
            (day(2000, 2, 29), "29 Feb 2000 February Tue Tuesday 00-02 %"),
            (day(1999, 12, 31), "31 Dec 1999 December Fri Friday 99-12 %"),
            (day(2024, 1, 1), "01 Jan 2024 January Mon Monday 24-01 %"),
        ];
        for (today, expected) in cases {
            assert_eq!(today.format(all).as_deref(), Ok(expected));
        }
        assert_eq!(cases[0].0.format("%H"), Err("%H".to_owned()));
        assert_eq!(cases[0].0.format("at 5 %"), Err("%".to_owned()));
    }

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
