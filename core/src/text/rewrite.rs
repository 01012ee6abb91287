//! A template's instructions, with a check put behind each one that makes or emits a value.
//!
//! minijinja's fuel bounds how many instructions run, not what they make: thirty times
//! `{% set x = x ~ x %}` is a gigabyte. The engine has no hook there, so the compiled template is
//! rewritten: after every instruction that builds a value comes a call of [`GUARD`], which
//! `sandbox` supplies. This is the only file that touches minijinja's unstable machinery; the
//! workspace pins its exact version.

use std::borrow::Cow;

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind, Value};

/// Name of the function that checks the value on top of the stack and gives it back. No template
/// can say or hide it: it is no identifier.
pub(super) const GUARD: &str = " guard";
/// The same for a value that a namespace is about to hold.
pub(super) const GUARD_HELD: &str = " guard held";
/// Tokens in one `{{ }}` or `{% %}`. The parser bounds nesting, but not chains such as `a + a + …`,
/// which become as deep a tree.
const MAX_BLOCK_TOKENS: usize = 1000;
/// `elif`s in a template: each is a level of the tree, which the parser does not count.
const MAX_ELIFS: usize = 200;

/// Name of the template in messages.
const NAME: &str = "chat_template";

/// Compiles a template, with the guards in it.
pub(super) fn compile<'s>(
    source: &'s str,
    syntax: &SyntaxConfig,
) -> Result<Instructions<'s>, Error> {
    check_tokens(source, syntax)?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&parse(source, NAME, syntax.clone())?);
    let (plain, blocks) = generator.finish();
    if !blocks.is_empty() {
        return Err(unsupported("{% block %}"));
    }
    guarded(&plain)
}

/// `source` with the lines of string literals joined where a backslash ends one, as Jinja reads it
/// (Mistral's templates have it; minijinja keeps both characters).
pub(super) fn join_lines<'s>(source: &'s str, syntax: &SyntaxConfig) -> Cow<'s, str> {
    if !source.contains("\\\n") {
        return Cow::Borrowed(source);
    }
    let (mut joined, mut done) = (String::with_capacity(source.len()), 0);
    // What can't be read ends the walk; the compiler says what is wrong with it.
    for (token, span) in tokenize(source, false, syntax.clone()).map_while(Result::ok) {
        let literal = span.start_offset as usize..span.end_offset as usize;
        let (Token::Str(_) | Token::String(_), Some(text)) = (token, source.get(literal.clone()))
        else {
            continue;
        };
        joined.push_str(source.get(done..literal.start).unwrap_or_default());
        let mut escaped = false;
        for character in text.chars() {
            if escaped && character == '\n' {
                joined.pop();
            } else {
                joined.push(character);
            }
            escaped = character == '\\' && !escaped;
        }
        done = literal.end;
    }
    joined.push_str(source.get(done..).unwrap_or_default());
    Cow::Owned(joined)
}

/// Refuses what would make the compiler itself recurse or allocate without bound.
fn check_tokens(source: &str, syntax: &SyntaxConfig) -> Result<(), Error> {
    let (mut elifs, mut in_block) = (0, 0);
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token?;
        in_block += 1;
        match token {
            Token::VariableStart | Token::BlockStart => in_block = 0,
            // Repeating a string is the one constant expression that grows; none needs it.
            Token::Mul | Token::Pow => return Err(unsupported("operators * and **")),
            Token::Ident("elif") => elifs += 1,
            _ => {}
        }
        if in_block > MAX_BLOCK_TOKENS || elifs > MAX_ELIFS {
            let line = span.start_line;
            return Err(refused(format!(
                "too long an expression or chain of elif (line {line})"
            )));
        }
    }
    Ok(())
}

fn guarded<'s>(plain: &Instructions<'s>) -> Result<Instructions<'s>, Error> {
    let listed = (0..).map_while(|pc| plain.get(pc));
    let expanded = listed.map(with_guard).collect::<Result<Vec<_>, _>>()?;
    // Where each old instruction begins now, and where the last one ends.
    let mut starts = vec![0u32];
    for group in &expanded {
        let length = u32::try_from(group.len()).unwrap_or(u32::MAX);
        starts.push(starts[starts.len() - 1].saturating_add(length));
    }
    let moved = |old: u32| {
        usize::try_from(old)
            .ok()
            .and_then(|old| starts.get(old).copied())
    };

    let mut out = Instructions::new(NAME, plain.source());
    for (pc, group) in (0..).zip(expanded) {
        let line = plain.get_line(pc).and_then(|line| u16::try_from(line).ok());
        for mut instruction in group {
            if let Instruction::Iterate(target)
            | Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::BuildMacro(_, target, _) = &mut instruction
            {
                *target = moved(*target).ok_or_else(|| unsupported("this control flow"))?;
            }
            match line {
                Some(line) => out.add_with_line(instruction, line),
                None => out.add(instruction),
            };
        }
    }
    Ok(out)
}

/// What stands in the place of one instruction.
fn with_guard<'s>(instruction: &Instruction<'s>) -> Result<Vec<Instruction<'s>>, Error> {
    use Instruction as I;
    let guard = I::CallFunction(GUARD, Some(1));
    Ok(match instruction {
        // Through the formatter, which counts what is written.
        I::EmitRaw(text) => vec![I::LoadConst(Value::from(*text)), I::Emit],
        I::Add
        | I::StringConcat
        | I::Slice
        | I::BuildMap(_)
        | I::BuildList(_)
        | I::BuildTuple(_)
        | I::ApplyFilter(..)
        | I::CallFunction(..)
        | I::CallMethod(..)
        | I::CallObject(_)
        | I::EndCapture => vec![instruction.clone(), guard],
        // The namespace is on top, the value that it gets below it.
        I::SetAttr(_) => {
            let guard = I::CallFunction(GUARD_HELD, Some(1));
            vec![I::Swap, guard, I::Swap, instruction.clone()]
        }
        I::Mul | I::Pow => return Err(unsupported("operators * and **")),
        I::FastSuper | I::CallBlock(_) | I::LoadBlocks | I::Include(_) | I::ExportLocals => {
            return Err(unsupported("inheritance and includes"));
        }
        _ => vec![instruction.clone()],
    })
}

fn unsupported(what: &str) -> Error {
    refused(format!("{what}: not supported in chat templates"))
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}
