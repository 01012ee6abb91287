//! Python's arithmetic. Whole numbers have 127 bits: what would need more is refused.

use super::ast::Operator;
use super::value::Value;
use super::{Error, Result};

fn too_large() -> Error {
    Error::new("it computes with too large a number")
}

fn by_zero() -> Error {
    Error::new("division by zero")
}

/// Two numbers under an operator; None where one is none.
pub(super) fn binary(operator: Operator, left: &Value, right: &Value) -> Option<Result<Value>> {
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return Some(whole(operator, a, b));
    }
    let (a, b) = (left.as_float()?, right.as_float()?);
    Some(float(operator, a, b).map(Value::Float))
}

fn whole(operator: Operator, a: i128, b: i128) -> Result<Value> {
    use Operator as Op;
    let result = match operator {
        Op::Add => a.checked_add(b),
        Op::Sub => a.checked_sub(b),
        Op::Mul => a.checked_mul(b),
        Op::Div | Op::FloorDiv | Op::Mod if b == 0 => return Err(by_zero()),
        Op::Div => return Ok(Value::Float(a as f64 / b as f64)),
        Op::FloorDiv => floor_div(a, b),
        Op::Mod => a
            .checked_rem(b)
            .map(|rest| match rest != 0 && (rest < 0) != (b < 0) {
                true => rest + b,
                false => rest,
            }),
        Op::Pow if b < 0 => return float(operator, a as f64, b as f64).map(Value::Float),
        Op::Pow => match (a, u32::try_from(b)) {
            (0 | 1, _) if b > 0 => Some(a),
            (-1, _) => Some(if b % 2 == 0 { 1 } else { -1 }),
            (_, Ok(exponent)) => a.checked_pow(exponent),
            _ => None,
        },
    };
    result.map(Value::Int).ok_or_else(too_large)
}

fn floor_div(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    match a % b != 0 && (a < 0) != (b < 0) {
        true => quotient.checked_sub(1),
        false => Some(quotient),
    }
}

fn float(operator: Operator, a: f64, b: f64) -> Result<f64> {
    use Operator as Op;
    let rest = || {
        let rest = a % b;
        match rest != 0.0 && (rest < 0.0) != (b < 0.0) {
            true => rest + b,
            false if rest == 0.0 => 0f64.copysign(b),
            false => rest,
        }
    };
    Ok(match operator {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div | Op::FloorDiv | Op::Mod if b == 0.0 => return Err(by_zero()),
        Op::Div => a / b,
        Op::FloorDiv => {
            let quotient = (a - rest()) / b;
            match quotient == 0.0 {
                true => 0f64.copysign(a / b),
                false if quotient - quotient.floor() > 0.5 => quotient.floor() + 1.0,
                false => quotient.floor(),
            }
        }
        Op::Mod => rest(),
        Op::Pow if a == 0.0 && b < 0.0 => return Err(by_zero()),
        // A complex number in Python.
        Op::Pow if a < 0.0 && b.is_finite() && b != b.floor() => {
            return Err(Error::new("it takes a root of a negative number"));
        }
        Op::Pow => {
            let power = a.powf(b);
            if power.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(too_large());
            }
            power
        }
    })
}

/// A float's whole part.
pub(super) fn truncate(number: f64) -> Result<i128> {
    match number.is_finite() && number.abs() < 1e38 {
        true => Ok(number.trunc() as i128),
        false => Err(too_large()),
    }
}

/// `int(text, base)`; None where that is no number.
pub(super) fn parse_int(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(super::python::is_space);
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_lowercase();
    let prefix = match (base, lower.get(..2)) {
        (16 | 0, Some("0x")) => Some(16),
        (8 | 0, Some("0o")) => Some(8),
        (2 | 0, Some("0b")) => Some(2),
        _ => None,
    };
    let (radix, rest) = match prefix {
        Some(radix) => (
            radix,
            lower.get(2..)?.strip_prefix('_').unwrap_or(&lower[2..]),
        ),
        None if base == 0 => (10, &*lower),
        None => (base, &*lower),
    };
    let joined = rest.starts_with('_') || rest.ends_with('_') || rest.contains("__");
    if joined || !(2..=36).contains(&radix) || rest.is_empty() {
        return None;
    }
    let plain = decimal_digits(&rest.replace('_', ""));
    if !plain.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(&plain, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// `float(text)`; None where that is no number.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(super::python::is_space);
    let between = |at: usize| {
        let around = [at.checked_sub(1), Some(at + 1)];
        around.iter().all(|i| {
            i.and_then(|i| text.as_bytes().get(i))
                .is_some_and(u8::is_ascii_digit)
        })
    };
    if !text.match_indices('_').all(|(at, _)| between(at)) {
        return None;
    }
    decimal_digits(&text.replace('_', "")).parse().ok()
}

/// Decimal digits of any script as ASCII.
fn decimal_digits(text: &str) -> String {
    text.chars()
        .map(|c| {
            decimal(c)
                .and_then(|d| char::from_digit(d, 10))
                .unwrap_or(c)
        })
        .collect()
}

/// First digits of the scripts in wide use; each is followed by the other nine.
const ZEROS: [char; 22] = [
    '0', '٠', '۰', '߀', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '෦', '๐', '໐', '༠', '၀', '០',
    '᠐', '０', '𝟎',
];

/// The value of a decimal digit.
pub(super) fn decimal(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    ZEROS
        .iter()
        .find_map(|zero| (c as u32).checked_sub(*zero as u32).filter(|d| *d < 10))
}

/// `round(number, digits)` of a float.
pub(super) fn round(number: f64, digits: i128) -> f64 {
    if !number.is_finite() || digits > 320 {
        return number;
    }
    if digits >= 0 {
        return format!("{number:.0$}", digits as usize)
            .parse()
            .unwrap_or(number);
    }
    if digits < -308 {
        return 0f64.copysign(number);
    }
    let power = 10f64.powi(-digits as i32);
    (number / power).round_ties_even() * power
}

/// `round(number, digits)` of a whole number.
pub(super) fn round_whole(number: i128, digits: i128) -> Result<i128> {
    if digits >= 0 {
        return Ok(number);
    }
    let Some(power) = u32::try_from(-digits)
        .ok()
        .and_then(|d| 10i128.checked_pow(d))
    else {
        return Ok(0);
    };
    let down = floor_div(number, power).ok_or_else(too_large)?;
    let rest = number - down * power;
    let up = match (rest * 2).cmp(&power) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => down % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    (down + i128::from(up))
        .checked_mul(power)
        .ok_or_else(too_large)
}
