//! What a template's source means.

use std::rc::Rc;

use super::value::Value;

pub(super) type Name = Rc<str>;

/// A statement, or text between statements.
#[derive(Debug)]
pub(super) enum Node {
    Data(Rc<str>),
    Print(Expr, u32),
    If(Vec<(Expr, u32, Vec<Node>)>, Vec<Node>),
    For(Rc<For>),
    Set(Target, Expr, u32),
    SetBlock(Target, Vec<(Name, Args)>, Vec<Node>, u32),
    Filter(Vec<(Name, Args)>, Vec<Node>, u32),
    With(Vec<(Target, Expr)>, Vec<Node>, u32),
    Macro(Rc<Macro>),
    /// A call whose `caller` is the macro.
    Call(Expr, Rc<Macro>, u32),
    /// Statements with a scope of their own.
    Scope(Vec<Node>),
    /// `{% block %}`, and whether it sees the variables around it.
    Block(Vec<Node>, bool),
    Autoescape(Expr, Vec<Node>, u32),
    Break,
    Continue,
    /// Refused when it is reached.
    Refused(String, u32),
}

#[derive(Debug)]
pub(super) struct For {
    pub target: Target,
    pub iter: Expr,
    pub test: Option<Expr>,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
    pub recursive: bool,
    pub line: u32,
}

#[derive(Debug)]
pub(super) struct Macro {
    /// None for the body of a call block.
    pub name: Option<Name>,
    pub parameters: Vec<Name>,
    /// Those of the last parameters.
    pub defaults: Vec<Expr>,
    pub body: Vec<Node>,
    /// Whether the body names `caller`, `kwargs` and `varargs`.
    pub caller: bool,
    pub kwargs: bool,
    pub varargs: bool,
    pub line: u32,
}

/// What a value is assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Name),
    Tuple(Vec<Target>),
    /// An attribute of a namespace.
    Attribute(Name, Name),
}

#[derive(Debug)]
pub(super) enum Expr {
    Const(Value),
    Name(Name),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attribute(Box<Expr>, Name),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Box<Args>),
    Filter(Box<Expr>, Name, Box<Args>),
    Test(Box<Expr>, Name, Box<Args>),
    Not(Box<Expr>),
    Sign(bool, Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// Test, value, other value.
    If(Box<(Expr, Expr, Option<Expr>)>),
}

/// The arguments of a call.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub positional: Vec<Expr>,
    pub keywords: Vec<(Name, Expr)>,
    pub star: Option<Expr>,
    pub star_star: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}
