//! A template's source to tokens, with `trim_blocks` and `lstrip_blocks`, as transformers sets them.

use std::rc::Rc;

use super::python::is_space;
use super::{Error, Result};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Data(Rc<str>),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(Rc<str>),
    Str(String),
    Int(i128),
    Float(f64),
    Op(&'static str),
    End,
}

/// The longest first.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// Tokens in one `{{ }}` or `{% %}`: an expression is a tree, at most as deep as it has tokens.
const MAX_TAG_TOKENS: usize = 4000;

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    /// Whether what was read last ended a line.
    line_starting: bool,
    tokens: Vec<(Token, u32)>,
}

/// The tokens of `source`, each with its line; the last is [`Token::End`].
pub(super) fn tokenize(source: &str) -> Result<Vec<(Token, u32)>> {
    let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
    if source.ends_with('\n') {
        source.pop();
    }
    let mut lexer = Lexer {
        source: &source,
        at: 0,
        line: 1,
        line_starting: true,
        tokens: Vec::new(),
    };
    lexer.run()?;
    lexer.push(Token::End);
    Ok(lexer.tokens)
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn push(&mut self, token: Token) {
        self.tokens.push((token, self.line));
    }

    fn data(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Token::Data(text.into()));
        }
    }

    fn advance(&mut self, bytes: usize) {
        let read = &self.source[self.at..self.at + bytes];
        self.line += read.matches('\n').count() as u32;
        if bytes > 0 {
            self.line_starting = read.ends_with('\n');
        }
        self.at += bytes;
    }

    fn run(&mut self) -> Result<()> {
        loop {
            let rest = self.rest();
            let tag = rest.match_indices('{').find_map(|(at, _)| {
                let kind = *rest.as_bytes().get(at + 1)?;
                b"{%#".contains(&kind).then_some((at, kind))
            });
            let Some((at, kind)) = tag else {
                self.data(rest);
                return Ok(());
            };
            self.text_before(at, kind);
            let sign = usize::from(self.rest().starts_with(['-', '+']));
            match kind {
                b'#' => {
                    self.advance(sign);
                    match self.rest().find("#}") {
                        Some(end) => self.close(end, "#}", true),
                        None if self.rest().is_empty() => {}
                        None => return Err(self.error("a comment does not end")),
                    }
                }
                b'%' => match self.raw_begin(sign) {
                    Some(length) => {
                        self.advance(length);
                        self.raw()?;
                    }
                    None => {
                        self.advance(sign);
                        self.push(Token::BlockBegin);
                        self.tag("%}")?;
                    }
                },
                _ => {
                    self.advance(sign);
                    self.push(Token::VariableBegin);
                    self.tag("}}")?;
                }
            }
        }
    }

    /// Takes the text before a tag that begins in `length` bytes, and the tag's two characters.
    fn text_before(&mut self, length: usize, kind: u8) {
        let text = &self.rest()[..length];
        let kept = match self.rest().as_bytes().get(length + 2) {
            Some(b'-') => text.trim_end_matches(is_space),
            Some(b'+') => text,
            _ if kind == b'{' => text,
            _ => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let starts = line > 0 || self.line_starting;
                match starts && text[line..].chars().all(is_space) {
                    true => &text[..line],
                    false => text,
                }
            }
        };
        self.data(kept);
        self.advance(length + 2);
    }

    /// Passes `before` bytes, an end tag and what it takes with it.
    fn close(&mut self, before: usize, end: &str, trims: bool) {
        let rest = self.rest();
        let after = &rest[before + end.len()..];
        let taken = match rest.as_bytes()[..before].last() {
            Some(b'-') => after.len() - after.trim_start_matches(is_space).len(),
            Some(b'+') => 0,
            _ => usize::from(trims && after.starts_with('\n')),
        };
        self.advance(before + end.len() + taken);
    }

    /// The length of the rest of `{% raw %}`, if that is what this is.
    fn raw_begin(&self, sign: usize) -> Option<usize> {
        let rest = self.rest();
        let after = rest[sign..].trim_start_matches(is_space);
        let after = after.strip_prefix("raw")?.trim_start_matches(is_space);
        let after = match after.strip_prefix("-%}") {
            Some(after) => after.trim_start_matches(is_space),
            None => after.strip_prefix("%}")?,
        };
        Some(rest.len() - after.len())
    }

    /// Text up to `{% endraw %}`, as it is.
    fn raw(&mut self) -> Result<()> {
        let rest = self.rest();
        for (at, _) in rest.match_indices("{%") {
            let inner = rest[at + 2..].strip_prefix(['-', '+']);
            let inner = inner
                .unwrap_or(&rest[at + 2..])
                .trim_start_matches(is_space);
            let Some(inner) = inner.strip_prefix("endraw") else {
                continue;
            };
            let inner = inner.trim_start_matches(is_space);
            let signs = inner.strip_prefix(['-', '+']).unwrap_or(inner);
            if signs.starts_with("%}") {
                let end = rest.len() - signs.len();
                self.text_before(at, b'%');
                self.close(end - at - 2, "%}", true);
                return Ok(());
            }
        }
        match rest.is_empty() {
            true => Ok(()),
            false => Err(self.error("{% raw %} does not end")),
        }
    }

    /// The tokens of a tag, up to its end.
    fn tag(&mut self, end: &'static str) -> Result<()> {
        let mut open = Vec::new();
        let first = self.tokens.len();
        loop {
            let rest = self.rest();
            let sign = match rest.chars().next() {
                Some('-') => 1,
                Some('+') if end == "%}" => 1,
                _ => 0,
            };
            if open.is_empty() && rest[sign..].starts_with(end) {
                self.push(match end {
                    "%}" => Token::BlockEnd,
                    _ => Token::VariableEnd,
                });
                self.close(sign, end, end == "%}");
                return Ok(());
            }
            if self.tokens.len() - first > MAX_TAG_TOKENS {
                return Err(self.error("too long an expression"));
            }
            let Some(character) = rest.chars().next() else {
                return Ok(());
            };
            let length = match character {
                c if is_space(c) => {
                    let after = rest.trim_start_matches(is_space);
                    rest.len() - after.len()
                }
                '0'..='9' => self.number()?,
                '"' | '\'' => self.string(character)?,
                c if c == '_' || c.is_alphanumeric() => {
                    let word = |c: char| c == '_' || c.is_alphanumeric();
                    let length = rest.len() - rest.trim_start_matches(word).len();
                    self.push(Token::Name(rest[..length].into()));
                    length
                }
                _ => self.operator(&mut open)?,
            };
            self.advance(length);
        }
    }

    fn operator(&mut self, open: &mut Vec<&'static str>) -> Result<usize> {
        let rest = self.rest();
        let Some(&operator) = OPERATORS.iter().find(|op| rest.starts_with(**op)) else {
            let character = rest.chars().next().unwrap_or_default();
            return Err(self.error(format!("unexpected character {character:?}")));
        };
        match operator {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" if open.pop() != Some(operator) => {
                return Err(self.error(format!("unexpected '{operator}'")));
            }
            _ => {}
        }
        self.push(Token::Op(operator));
        Ok(operator.len())
    }

    /// A number: its token, and the bytes it takes.
    fn number(&mut self) -> Result<usize> {
        let rest = self.rest().as_bytes();
        // Digits with single `_` between them, from `at` on: where they end.
        let digits = |mut at: usize, of: fn(&u8) -> bool| -> usize {
            while rest.get(at).is_some_and(of)
                || (rest.get(at) == Some(&b'_') && rest.get(at + 1).is_some_and(of))
            {
                at += 1;
            }
            at
        };
        let decimal = |at: usize| match rest.get(at) {
            Some(byte) if byte.is_ascii_digit() => digits(at, u8::is_ascii_digit),
            _ => at,
        };
        let plain = |text: &[u8]| -> String {
            (text.iter().filter(|b| **b != b'_').map(|b| *b as char)).collect()
        };
        let prefixed = match rest.get(..2).map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"0x") => Some((16, digits(2, u8::is_ascii_hexdigit))),
            Some(b"0o") => Some((8, digits(2, |b| (b'0'..=b'7').contains(b)))),
            Some(b"0b") => Some((2, digits(2, |b| (b'0'..=b'1').contains(b)))),
            _ => None,
        };
        let too_large = |lexer: &Self| lexer.error("too large a number");
        if let Some((radix, end)) = prefixed.filter(|(_, end)| *end > 2) {
            let number = i128::from_str_radix(&plain(&rest[2..end]), radix);
            self.push(Token::Int(number.map_err(|_| too_large(self))?));
            return Ok(end);
        }
        let whole = decimal(0);
        let mut end = whole;
        let after_dot = self.at > 0 && self.source.as_bytes()[self.at - 1] == b'.';
        if !after_dot {
            if rest.get(end) == Some(&b'.') && decimal(end + 1) > end + 1 {
                end = decimal(end + 1);
            }
            if rest.get(end).is_some_and(|b| b.eq_ignore_ascii_case(&b'e')) {
                let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
                if decimal(end + 1 + sign) > end + 1 + sign {
                    end = decimal(end + 1 + sign);
                }
            }
        }
        if end > whole {
            let number = plain(&rest[..end]).parse();
            self.push(Token::Float(number.map_err(|_| too_large(self))?));
            return Ok(end);
        }
        // A number that starts with 0 is 0.
        let end = match rest[0] {
            b'0' => digits(0, |b| *b == b'0'),
            _ => whole,
        };
        let number = plain(&rest[..end]).parse();
        self.push(Token::Int(number.map_err(|_| too_large(self))?));
        Ok(end)
    }

    fn string(&mut self, quote: char) -> Result<usize> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest[1..].char_indices().find(|(_, character)| {
            let ends = *character == quote && !escaped;
            escaped = *character == '\\' && !escaped;
            ends
        });
        let (end, _) = end.ok_or_else(|| self.error("a string does not end"))?;
        let text = self.unescape(&rest[1..=end])?;
        self.push(Token::Str(text));
        Ok(end + 2)
    }

    /// A string's text, its escapes read as Python reads them.
    fn unescape(&self, text: &str) -> Result<String> {
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(kind) = rest.chars().next() else {
                break;
            };
            let after = &rest[kind.len_utf8()..];
            let digits = |text: &str, most: usize, radix: u32| {
                (text.chars().take(most).take_while(|c| c.is_digit(radix))).count()
            };
            let (code, used) = match kind {
                '\n' => {
                    rest = after;
                    continue;
                }
                'a' => (7, 1),
                'b' => (8, 1),
                'f' => (12, 1),
                'n' => (10, 1),
                'r' => (13, 1),
                't' => (9, 1),
                'v' => (11, 1),
                '\\' | '\'' | '"' => (kind as u32, 1),
                'x' | 'u' | 'U' => {
                    let count = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    if digits(after, count, 16) < count {
                        return Err(self.error(format!("a string has a cut \\{kind} escape")));
                    }
                    let code = u32::from_str_radix(&after[..count], 16);
                    (code.unwrap_or(u32::MAX), count + 1)
                }
                '0'..='7' => {
                    let count = digits(rest, 3, 8);
                    let code = u32::from_str_radix(&rest[..count], 8);
                    (code.unwrap_or(u32::MAX), count)
                }
                'N' => return Err(self.error("\\N escapes are not supported")),
                _ => {
                    plain.push('\\');
                    plain.push(kind);
                    rest = after;
                    continue;
                }
            };
            let character = char::from_u32(code)
                .ok_or_else(|| self.error("a string has an escape that is no character"))?;
            plain.push(character);
            rest = &rest[used..];
        }
        plain.push_str(rest);
        Ok(plain)
    }

    fn error(&self, what: impl Into<String>) -> Error {
        Error::new(what).at(self.line)
    }
}
