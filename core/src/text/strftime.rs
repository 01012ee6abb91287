//! Days as C's `strftime` writes them in the C locale, which is what Python's calls.

use super::Today;

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

/// What stands between `%` and the letter.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    /// `-`, `_` or `0`.
    pad: Option<char>,
    upper: bool,
    swap: bool,
    width: usize,
}

/// What a letter stands for.
enum Field {
    /// A number, its least width, and what fills that.
    Number(i64, usize, char),
    Text(String),
    /// A name, whose case `#` changes.
    Name(&'static str),
    Format(&'static str),
}

/// `format` about midnight of a day, at most `limit` bytes.
pub(super) fn format(day: Today, format: &str, limit: usize) -> Result<String, String> {
    let mut out = String::new();
    write(day, format, false, limit, &mut out)?;
    Ok(out)
}

fn write(
    day: Today,
    format: &str,
    upper: bool,
    limit: usize,
    out: &mut String,
) -> Result<(), String> {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let directive = &rest[at..];
        let (mut flags, mut letters) = (Flags::default(), directive[1..].chars());
        let mut letter = letters.next();
        while let Some(flag) = letter.filter(|c| "-_0^#".contains(*c)) {
            match flag {
                '^' => flags.upper = true,
                '#' => flags.swap = true,
                pad => flags.pad = Some(pad),
            }
            letter = letters.next();
        }
        while let Some(digit) = letter.and_then(|c| c.to_digit(10)) {
            flags.width = flags
                .width
                .saturating_mul(10)
                .saturating_add(digit as usize);
            letter = letters.next();
        }
        // Other calendars and digits, of which the C locale has none.
        if let Some('E' | 'O') = letter {
            letter = letters.next();
        }
        flags.upper |= upper;
        rest = letters.as_str();
        let length = directive.len() - rest.len();
        if flags.width > limit {
            return Err("strftime_now: too large a width".to_owned());
        }
        // What is unknown stays as it is, like glibc leaves it.
        let field = letter.and_then(|letter| field(day, letter));
        let field = field.unwrap_or_else(|| Field::Text(directive[..length].to_owned()));
        put(day, field, flags, limit, out)?;
        if out.len() > limit {
            return Err("strftime_now: too long a text".to_owned());
        }
    }
    out.push_str(rest);
    Ok(())
}

fn put(
    day: Today,
    field: Field,
    flags: Flags,
    limit: usize,
    out: &mut String,
) -> Result<(), String> {
    let (text, fill) = match field {
        Field::Number(number, least, fill) => {
            let fill = match flags.pad {
                Some('_' | '-') => ' ',
                Some('0') => '0',
                _ => fill,
            };
            let least = if flags.pad == Some('-') { 0 } else { least };
            let least = least.max(flags.width);
            let digits = number.to_string();
            let missing = least.saturating_sub(digits.len());
            out.extend(std::iter::repeat_n(fill, missing));
            out.push_str(&digits);
            return Ok(());
        }
        Field::Text(text) => (text, ' '),
        Field::Name(name @ ("AM" | "PM")) if flags.swap => (name.to_lowercase(), ' '),
        Field::Name(name) if flags.swap => (name.to_uppercase(), ' '),
        Field::Name(name) => (name.to_owned(), ' '),
        Field::Format(format) => {
            let mut text = String::new();
            write(day, format, flags.upper, limit, &mut text)?;
            (text, ' ')
        }
    };
    let text = if flags.upper && !text.starts_with("am") {
        text.to_uppercase()
    } else {
        text
    };
    let fill = if flags.pad == Some('0') { '0' } else { fill };
    let missing = flags.width.saturating_sub(text.chars().count());
    out.extend(std::iter::repeat_n(fill, missing));
    out.push_str(&text);
    Ok(())
}

fn field(day: Today, letter: char) -> Option<Field> {
    let year = i64::from(day.year);
    let two = |number: i64| Field::Number(number, 2, '0');
    let (weekday, yearday) = (weekday(day), yearday(day));
    // Monday is 0 for those weeks.
    let from_monday = (weekday + 6) % 7;
    let (iso_year, iso_week) = iso_week(day);
    Some(match letter {
        'a' => Field::Name(&DAYS[weekday as usize][..3]),
        'A' => Field::Name(DAYS[weekday as usize]),
        'b' | 'h' => Field::Name(&month(day)[..3]),
        'B' => Field::Name(month(day)),
        'c' => Field::Format("%a %b %e %H:%M:%S %Y"),
        'C' => Field::Number(year / 100, 1, '0'),
        'd' => two(i64::from(day.day)),
        'D' | 'x' => Field::Format("%m/%d/%y"),
        'e' => Field::Number(i64::from(day.day), 2, ' '),
        // Python's own: microseconds.
        'f' => Field::Text("000000".to_owned()),
        'F' => Field::Format("%Y-%m-%d"),
        'g' => two(iso_year % 100),
        'G' => Field::Number(iso_year, 1, '0'),
        'H' | 'M' | 'S' => two(0),
        'I' => two(12),
        'j' => Field::Number(yearday + 1, 3, '0'),
        'k' => Field::Number(0, 2, ' '),
        'l' => Field::Number(12, 2, ' '),
        'm' => two(i64::from(day.month)),
        'n' => Field::Text("\n".to_owned()),
        'p' => Field::Name("AM"),
        'P' => Field::Text("am".to_owned()),
        'r' => Field::Format("%I:%M:%S %p"),
        'R' => Field::Format("%H:%M"),
        's' => Field::Number(days_since_1970(day) * 86_400, 1, '0'),
        't' => Field::Text("\t".to_owned()),
        'T' | 'X' => Field::Format("%H:%M:%S"),
        'u' => Field::Number(from_monday + 1, 1, '0'),
        'U' => two((yearday + 7 - weekday) / 7),
        'V' => two(iso_week),
        'w' => Field::Number(weekday, 1, '0'),
        'W' => two((yearday + 7 - from_monday) / 7),
        'y' => two(year % 100),
        'Y' => Field::Number(year, 1, '0'),
        // The day has no zone.
        'z' | 'Z' => Field::Text(String::new()),
        '%' => Field::Text("%".to_owned()),
        _ => return None,
    })
}

fn month(day: Today) -> &'static str {
    MONTHS[usize::from(day.month.clamp(1, 12)) - 1]
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of the year before this one.
fn yearday(day: Today) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = i64::from(day.month > 2 && is_leap(i64::from(day.year)));
    BEFORE[usize::from(day.month.clamp(1, 12)) - 1] + leap + i64::from(day.day) - 1
}

fn days_since_1970(day: Today) -> i64 {
    let before = i64::from(day.year) - 1;
    // 719,162 days lie between the first day of year 1 and 1970.
    before * 365 + before / 4 - before / 100 + before / 400 + yearday(day) - 719_162
}

/// Sunday is 0.
fn weekday(day: Today) -> i64 {
    (days_since_1970(day) + 4).rem_euclid(7)
}

/// The year and number of the week by ISO 8601: weeks belong where their Thursday is.
fn iso_week(day: Today) -> (i64, i64) {
    let thursday = yearday(day) + 3 - (weekday(day) + 6) % 7;
    let year = i64::from(day.year);
    let length = |year: i64| 365 + i64::from(is_leap(year));
    if thursday < 0 {
        let before = year - 1;
        return (before, (thursday + length(before)) / 7 + 1);
    }
    match thursday.checked_sub(length(year)).filter(|left| *left >= 0) {
        Some(left) => (year + 1, left / 7 + 1),
        None => (year, thursday / 7 + 1),
    }
}
