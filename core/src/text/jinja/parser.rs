//! Tokens to a template. Statements are read in `statements`, expressions in `expression`.

use super::ast::{Args, Name, Node, Target};
use super::lexer::{Token, tokenize};
use super::{Error, Result, filters, tests};

/// Nesting of statements and of parentheses.
const MAX_NESTING: usize = 60;

/// What is missing at compile time in jinja2, and so refused at the first rendering.
pub(super) struct Parsed {
    pub body: Vec<Node>,
    pub unknown: Option<Error>,
}

pub(super) struct Parser {
    tokens: Vec<(Token, u32)>,
    at: usize,
    nesting: usize,
    /// Loops around, within the macro: what `break` may leave.
    pub(super) loops: usize,
    /// Names looked up so far: whether a macro's body has `caller`, `kwargs`, `varargs`.
    pub(super) names: Vec<Name>,
    /// Unknown filters and tests. In branches of `if` they matter only when they are reached.
    pub(super) unknown: Vec<Error>,
    pub(super) in_branch: bool,
}

pub(super) fn parse(source: &str) -> Result<Parsed> {
    let mut parser = Parser {
        tokens: tokenize(source)?,
        at: 0,
        nesting: 0,
        loops: 0,
        names: Vec::new(),
        unknown: Vec::new(),
        in_branch: false,
    };
    let (body, _) = parser.nodes(&[])?;
    Ok(Parsed {
        body,
        unknown: parser.unknown.into_iter().next(),
    })
}

impl Parser {
    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub(super) fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens[self.at].1
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.tokens[self.at].0.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Token::Op(this) if *this == op)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(this) if &**this == name)
    }

    pub(super) fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn expect_op(&mut self, op: &str) -> Result<()> {
        match self.skip_op(op) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{op}'"))),
        }
    }

    pub(super) fn name(&mut self) -> Result<Name> {
        match self.peek().clone() {
            Token::Name(name) => {
                self.next();
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    pub(super) fn error(&self, what: impl Into<String>) -> Error {
        Error::new(what).at(self.line())
    }

    pub(super) fn unexpected(&self, expected: &str) -> Error {
        let found = match self.peek() {
            Token::Data(_) => "text".to_owned(),
            Token::VariableBegin => "'{{'".to_owned(),
            Token::VariableEnd => "'}}'".to_owned(),
            Token::BlockBegin => "'{%'".to_owned(),
            Token::BlockEnd => "'%}'".to_owned(),
            Token::Name(name) => format!("'{name}'"),
            Token::Str(_) => "a string".to_owned(),
            Token::Int(_) | Token::Float(_) => "a number".to_owned(),
            Token::Op(op) => format!("'{op}'"),
            Token::End => "the end".to_owned(),
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    /// Whatever `read` reads, one level deeper.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.nesting >= MAX_NESTING {
            return Err(self.error("it nests too deeply"));
        }
        self.nesting += 1;
        let value = read(self);
        self.nesting -= 1;
        value
    }

    /// Nodes up to one of the tags `ends`, whose name it passes; without `ends`, up to the end.
    pub(super) fn nodes(&mut self, ends: &[&str]) -> Result<(Vec<Node>, Name)> {
        let mut nodes = Vec::new();
        loop {
            let line = self.line();
            match self.next() {
                Token::Data(text) => nodes.push(Node::Data(text)),
                Token::VariableBegin => {
                    nodes.push(Node::Print(self.tuple(true)?, line));
                    match self.next() {
                        Token::VariableEnd => {}
                        _ => {
                            self.at -= 1;
                            return Err(self.unexpected("'}}'"));
                        }
                    }
                }
                Token::BlockBegin => {
                    let name = self.name()?;
                    if ends.contains(&&*name) {
                        return Ok((nodes, name));
                    }
                    self.nested(|parser| parser.statement(&name, line, &mut nodes))?;
                    self.block_end()?;
                }
                Token::End if ends.is_empty() => return Ok((nodes, "".into())),
                _ => {
                    return Err(self.error(format!("the end, before {{% {} %}}", ends.join("/"))));
                }
            }
        }
    }

    pub(super) fn block_end(&mut self) -> Result<()> {
        match self.peek() {
            Token::BlockEnd => {
                self.next();
                Ok(())
            }
            _ => Err(self.unexpected("'%}'")),
        }
    }

    pub(super) fn target_name(&mut self) -> Result<Name> {
        let name = self.name()?;
        match &*name {
            "true" | "false" | "none" | "True" | "False" | "None" => {
                Err(self.error(format!("can't assign to '{name}'")))
            }
            _ => Ok(name),
        }
    }

    /// What a value is assigned to: a name, or several.
    pub(super) fn target(&mut self, attributes: bool) -> Result<Target> {
        let mut targets = Vec::new();
        loop {
            let ends = matches!(self.peek(), Token::VariableEnd | Token::BlockEnd);
            if ends || self.is_op(")") || self.is_name("in") {
                break;
            }
            targets.push(if self.skip_op("(") {
                let inner = self.nested(|parser| parser.target(attributes))?;
                self.expect_op(")")?;
                inner
            } else {
                let name = self.target_name()?;
                match attributes && self.skip_op(".") {
                    true => Target::Attribute(name, self.name()?),
                    false => Target::Name(name),
                }
            });
            if !self.skip_op(",") {
                return match <[Target; 1]>::try_from(targets) {
                    Ok([target]) => Ok(target),
                    Err(targets) => Ok(Target::Tuple(targets)),
                };
            }
        }
        match targets.is_empty() {
            true => Err(self.unexpected("a name")),
            false => Ok(Target::Tuple(targets)),
        }
    }

    /// `| filter | filter(…)`; the first without its `|` where that is so.
    pub(super) fn filters(&mut self, inline: bool) -> Result<Vec<(Name, Args)>> {
        let mut filters = Vec::new();
        while (inline && filters.is_empty()) || self.skip_op("|") {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }

    /// A filter's name and arguments.
    pub(super) fn filter(&mut self) -> Result<(Name, Args)> {
        let name = self.dotted_name()?;
        if !filters::NAMES.contains(&&*name) {
            self.note_unknown(format!("no filter named '{name}'"));
        }
        let args = match self.is_op("(") {
            true => self.call_args()?,
            false => Args::default(),
        };
        Ok((name, args))
    }

    /// A test's name.
    pub(super) fn test_name(&mut self) -> Result<Name> {
        let name = self.dotted_name()?;
        if !tests::NAMES.contains(&&*name) {
            self.note_unknown(format!("no test named '{name}'"));
        }
        Ok(name)
    }

    fn note_unknown(&mut self, what: String) {
        if !self.in_branch {
            self.unknown.push(self.error(what));
        }
    }

    fn dotted_name(&mut self) -> Result<Name> {
        let mut name = self.name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.name()?).into();
        }
        Ok(name)
    }
}
