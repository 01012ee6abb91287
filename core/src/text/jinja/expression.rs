//! Tokens to expressions, with jinja2's order of operators.

use super::ast::{Args, Comparison, Expr, Operator};
use super::lexer::Token;
use super::parser::Parser;
use super::value::Value;
use super::{Error, Result};

impl Parser {
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.nested(|parser| parser.conditional())
    }

    fn conditional(&mut self) -> Result<Expr> {
        let unknown = self.unknown.len();
        let mut value = self.or()?;
        while self.skip_name("if") {
            let test = self.or()?;
            let other = match self.skip_name("else") {
                true => Some(self.expression()?),
                false => None,
            };
            // They are in a branch, as it shows.
            self.unknown.truncate(unknown);
            value = Expr::If(Box::new((test, value, other)));
        }
        Ok(value)
    }

    fn or(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        match self.skip_name("not") {
            true => Ok(Expr::Not(Box::new(self.nested(Self::not)?))),
            false => self.compare(),
        }
    }

    fn compare(&mut self) -> Result<Expr> {
        let first = self.sum()?;
        let mut others = Vec::new();
        loop {
            let second_is_in = matches!(self.peek_second(), Token::Name(n) if &**n == "in");
            let comparison = match self.peek() {
                Token::Op("==") => Comparison::Eq,
                Token::Op("!=") => Comparison::Ne,
                Token::Op("<") => Comparison::Lt,
                Token::Op("<=") => Comparison::Le,
                Token::Op(">") => Comparison::Gt,
                Token::Op(">=") => Comparison::Ge,
                Token::Name(name) if &**name == "in" => Comparison::In,
                Token::Name(name) if &**name == "not" && second_is_in => Comparison::NotIn,
                _ => break,
            };
            self.next();
            if comparison == Comparison::NotIn {
                self.next();
            }
            others.push((comparison, self.sum()?));
        }
        Ok(match others.is_empty() {
            true => first,
            false => Expr::Compare(Box::new(first), others),
        })
    }

    fn sum(&mut self) -> Result<Expr> {
        let mut left = self.concat()?;
        loop {
            let operator = match self.peek() {
                Token::Op("+") => Operator::Add,
                Token::Op("-") => Operator::Sub,
                _ => return Ok(left),
            };
            self.next();
            left = Expr::Binary(operator, Box::new(left), Box::new(self.concat()?));
        }
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.product()?);
        }
        Ok(Expr::Concat(parts))
    }

    fn product(&mut self) -> Result<Expr> {
        let mut left = self.power()?;
        loop {
            let operator = match self.peek() {
                Token::Op("*") => Operator::Mul,
                Token::Op("/") => Operator::Div,
                Token::Op("//") => Operator::FloorDiv,
                Token::Op("%") => Operator::Mod,
                _ => return Ok(left),
            };
            self.next();
            left = Expr::Binary(operator, Box::new(left), Box::new(self.power()?));
        }
    }

    fn power(&mut self) -> Result<Expr> {
        let mut left = self.unary(true)?;
        while self.skip_op("**") {
            left = Expr::Binary(Operator::Pow, Box::new(left), Box::new(self.unary(true)?));
        }
        Ok(left)
    }

    fn unary(&mut self, with_filter: bool) -> Result<Expr> {
        let node = if self.skip_op("-") {
            Expr::Sign(true, Box::new(self.nested(|p| p.unary(false))?))
        } else if self.skip_op("+") {
            Expr::Sign(false, Box::new(self.nested(|p| p.unary(false))?))
        } else {
            self.primary()?
        };
        let node = self.postfix(node)?;
        match with_filter {
            true => self.filter_expression(node),
            false => Ok(node),
        }
    }

    fn primary(&mut self) -> Result<Expr> {
        let unexpected = self.unexpected("an expression");
        Ok(match self.next() {
            Token::Name(name) => match &*name {
                "true" | "True" => Expr::Const(Value::Bool(true)),
                "false" | "False" => Expr::Const(Value::Bool(false)),
                "none" | "None" => Expr::Const(Value::None),
                _ => {
                    self.names.push(name.clone());
                    Expr::Name(name)
                }
            },
            Token::Str(mut text) => {
                while let Token::Str(more) = self.peek() {
                    text.push_str(more);
                    self.next();
                }
                Expr::Const(Value::str(text))
            }
            Token::Int(number) => Expr::Const(Value::Int(number)),
            Token::Float(number) => Expr::Const(Value::Float(number)),
            Token::Op("(") => {
                let value = self.nested(|p| p.tuple_or_empty())?;
                self.expect_op(")")?;
                value
            }
            Token::Op("[") => {
                let mut items = Vec::new();
                self.listed("]", |p| {
                    items.push(p.expression()?);
                    Ok(())
                })?;
                Expr::List(items)
            }
            Token::Op("{") => {
                let mut items = Vec::new();
                self.listed("}", |p| {
                    let key = p.expression()?;
                    p.expect_op(":")?;
                    items.push((key, p.expression()?));
                    Ok(())
                })?;
                Expr::Dict(items)
            }
            _ => return Err(unexpected),
        })
    }

    /// Elements between commas, up to `end`.
    fn listed(&mut self, end: &str, mut read: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        while !self.is_op(end) {
            read(self)?;
            if !self.is_op(end) {
                self.expect_op(",")?;
            }
        }
        self.expect_op(end)
    }

    /// One expression, or several as a tuple.
    pub(super) fn tuple(&mut self, conditional: bool) -> Result<Expr> {
        self.nested(|parser| match parser.tuple_items(conditional)? {
            (items, true) => Ok(Expr::Tuple(items)),
            (items, false) => {
                let none = parser.unexpected("an expression");
                items.into_iter().next().ok_or(none)
            }
        })
    }

    /// What is in parentheses.
    fn tuple_or_empty(&mut self) -> Result<Expr> {
        let (mut items, is_tuple) = self.tuple_items(true)?;
        Ok(match is_tuple {
            true => Expr::Tuple(items),
            false => items.pop().unwrap_or(Expr::Tuple(Vec::new())),
        })
    }

    fn tuple_items(&mut self, conditional: bool) -> Result<(Vec<Expr>, bool)> {
        let (mut items, mut is_tuple) = (Vec::new(), false);
        loop {
            let ends = matches!(self.peek(), Token::VariableEnd | Token::BlockEnd);
            let recursive = !conditional && self.is_name("recursive");
            if ends || self.is_op(")") || recursive {
                break;
            }
            items.push(match conditional {
                true => self.conditional()?,
                false => self.or()?,
            });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        Ok((items, is_tuple))
    }

    /// Attributes, elements and calls.
    fn postfix(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            if self.skip_op(".") {
                let bad = self.unexpected("a name or a number");
                node = match self.next() {
                    Token::Name(name) => Expr::Attribute(Box::new(node), name),
                    Token::Int(number) => {
                        let index = Expr::Const(Value::Int(number));
                        Expr::Item(Box::new(node), Box::new(index))
                    }
                    _ => return Err(bad),
                };
            } else if self.skip_op("[") {
                node = self.nested(|p| p.subscript(node))?;
            } else if self.is_op("(") {
                node = Expr::Call(Box::new(node), Box::new(self.call_args()?));
            } else {
                return Ok(node);
            }
        }
    }

    fn subscript(&mut self, node: Expr) -> Result<Expr> {
        let mut items = Vec::new();
        while !self.is_op("]") {
            if !items.is_empty() {
                self.expect_op(",")?;
            }
            let first = match self.is_op(":") {
                true => None,
                false => Some(self.expression()?),
            };
            match first {
                Some(item) if !self.is_op(":") => items.push(item),
                first if items.is_empty() => {
                    self.expect_op(":")?;
                    let stop = self.slice_part()?;
                    let step = match self.skip_op(":") {
                        true => self.slice_part()?,
                        false => None,
                    };
                    self.expect_op("]")?;
                    return Ok(Expr::Slice(Box::new(node), Box::new([first, stop, step])));
                }
                _ => return Err(self.error("a slice beside another index")),
            }
        }
        self.expect_op("]")?;
        let index = match <[Expr; 1]>::try_from(items) {
            Ok([item]) => item,
            Err(items) => Expr::Tuple(items),
        };
        Ok(Expr::Item(Box::new(node), Box::new(index)))
    }

    fn slice_part(&mut self) -> Result<Option<Expr>> {
        match self.peek() {
            Token::Op(":" | "]" | ",") => Ok(None),
            _ => Ok(Some(self.expression()?)),
        }
    }

    /// Filters and tests behind a value.
    fn filter_expression(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            if self.skip_op("|") {
                let (name, args) = self.filter()?;
                node = Expr::Filter(Box::new(node), name, Box::new(args));
            } else if self.skip_name("is") {
                node = self.test(node)?;
            } else if self.is_op("(") {
                node = Expr::Call(Box::new(node), Box::new(self.call_args()?));
            } else {
                return Ok(node);
            }
        }
    }

    fn test(&mut self, node: Expr) -> Result<Expr> {
        let negated = self.skip_name("not");
        let name = self.test_name()?;
        let mut args = Args::default();
        let takes_one = match self.peek() {
            Token::Op("(") => {
                args = self.call_args()?;
                false
            }
            Token::Name(name) if &**name == "is" => {
                return Err(self.error("a test of a test"));
            }
            Token::Name(name) => !matches!(&**name, "else" | "or" | "and"),
            Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Op("[" | "{") => true,
            _ => false,
        };
        if takes_one {
            let value = self.nested(Self::primary)?;
            args.positional.push(self.postfix(value)?);
        }
        let test = Expr::Test(Box::new(node), name, Box::new(args));
        Ok(match negated {
            true => Expr::Not(Box::new(test)),
            false => test,
        })
    }

    /// `(…)` behind what is called.
    pub(super) fn call_args(&mut self) -> Result<Args> {
        self.nested(|parser| {
            let mut args = Args::default();
            parser.expect_op("(")?;
            parser.listed(")", |p| p.argument(&mut args))?;
            Ok(args)
        })
    }

    fn argument(&mut self, args: &mut Args) -> Result<()> {
        let misplaced: Error = self.error("an argument in a wrong place");
        if self.skip_op("*") {
            if args.star.is_some() || args.star_star.is_some() {
                return Err(misplaced);
            }
            args.star = Some(self.expression()?);
        } else if self.skip_op("**") {
            if args.star_star.is_some() {
                return Err(misplaced);
            }
            args.star_star = Some(self.expression()?);
        } else if let (Token::Name(name), Token::Op("=")) = (self.peek(), self.peek_second()) {
            let name = name.clone();
            let twice = args.keywords.iter().any(|(known, _)| *known == name);
            if args.star_star.is_some() || twice {
                return Err(misplaced);
            }
            self.next();
            self.next();
            let value = self.expression()?;
            args.keywords.push((name, value));
        } else {
            let last = args.star.is_none() && args.star_star.is_none() && args.keywords.is_empty();
            if !last {
                return Err(misplaced);
            }
            args.positional.push(self.expression()?);
        }
        Ok(())
    }
}
