//! What an expression may name and what it may cost.

use std::collections::BTreeSet;

use cel::common::ast::Expr;
use cel::{IdedExpr, Program};

use super::facts::{FUNCTIONS, variables};

/// The longest expression, in bytes.
const LENGTH_MAX: usize = 2000;
/// How deep parts of an expression lie in each other.
const DEPTH_MAX: usize = 60;
/// How deep loops lie in each other: lists have at most a hundred members.
const LOOPS_MAX: usize = 2;
/// What the reader of expressions and the walk through them may need of the stack, in bytes.
const STACK: usize = 64 * 1024 * 1024;

/// Why an expression cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It is none; line and column are told.
    #[error("{0}")]
    Syntax(String),
    /// It names what there is not.
    #[error("line {line}, column {column}: {problem}")]
    Name {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// What.
        problem: String,
    },
    /// It costs too much.
    #[error("{0}")]
    Costly(&'static str),
    /// Its types do not fit.
    #[error("{0}")]
    Wrong(String),
    /// It is neither true nor false.
    #[error("it is a {0}, where true or false is wanted")]
    NoTruth(String),
}

/// What an expression names.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) variables: BTreeSet<String>,
    pub(super) events: BTreeSet<String>,
}

/// Compiles an expression and looks at each of its names.
pub(super) fn compile(source: &str) -> Result<(Program, Named), ExpressionError> {
    if source.len() > LENGTH_MAX {
        return Err(ExpressionError::Costly("the expression is longer than 2000 bytes"));
    }
    let source = source.to_owned();
    // a text of brackets alone lies deeper than the stack of an ordinary thread
    let compiling = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        let program = match std::panic::catch_unwind(|| Program::compile(&source)) {
            Ok(compiled) => compiled.map_err(|errors| syntax(&errors))?,
            Err(_) => {
                return Err(ExpressionError::Syntax("line 1: it is no expression".to_owned()));
            }
        };
        let mut walk =
            Walk { source: &source, bound: Vec::new(), named: Named::default(), program: &program };
        walk.expression(program.expression(), 0, 0)?;
        let named = walk.named;
        Ok((program, named))
    });
    let ended = compiling.map(std::thread::JoinHandle::join);
    match ended {
        Ok(Ok(compiled)) => compiled,
        _ => Err(ExpressionError::Costly("the expression could not be read")),
    }
}

fn syntax(errors: &cel::ParseErrors) -> ExpressionError {
    let told = errors.errors.first().map(|error| {
        let (line, column) = error.pos;
        format!("line {line}, column {column}: {}", error.msg)
    });
    ExpressionError::Syntax(told.unwrap_or_else(|| "line 1: it is no expression".to_owned()))
}

struct Walk<'s> {
    source: &'s str,
    program: &'s Program,
    /// Names that loops give.
    bound: Vec<String>,
    named: Named,
}

impl Walk<'_> {
    fn expression(
        &mut self,
        at: &IdedExpr,
        depth: usize,
        loops: usize,
    ) -> Result<(), ExpressionError> {
        if depth > DEPTH_MAX {
            return Err(ExpressionError::Costly(
                "the expression is nested too deep; at most 60 levels",
            ));
        }
        let down = depth + 1;
        match &at.expr {
            Expr::Ident(name) => self.variable(at, name),
            Expr::Call(call) => {
                if let ("_[_]", [events, key]) = (call.func_name.as_str(), &call.args[..])
                    && self.is_events(events)
                {
                    let kind = match &key.expr {
                        Expr::Literal(cel::common::ast::LiteralValue::String(kind)) => kind.inner(),
                        _ => return Err(self.no_kind(events)),
                    };
                    self.event(kind);
                    return Ok(());
                }
                let name = call.func_name.as_str();
                let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic());
                if is_word && !FUNCTIONS.contains(&name) {
                    let there = FUNCTIONS.join(", ");
                    let problem = format!("there is no function {name}; there are {there}");
                    return Err(self.at(at, name, problem));
                }
                if let Some(target) = &call.target {
                    self.expression(target, down, loops)?;
                }
                call.args.iter().try_for_each(|part| self.expression(part, down, loops))
            }
            Expr::Select(select) => {
                if self.is_events(&select.operand) {
                    self.event(&select.field);
                    return Ok(());
                }
                self.expression(&select.operand, down, loops)
            }
            Expr::List(list) => {
                list.elements.iter().try_for_each(|part| self.expression(part, down, loops))
            }
            Expr::Map(_) | Expr::Struct(_) => {
                Err(self.at(at, "{", "maps and messages cannot be made".to_owned()))
            }
            Expr::Comprehension(part) => {
                if loops >= LOOPS_MAX {
                    return Err(ExpressionError::Costly("more than two loops lie in each other"));
                }
                self.expression(&part.iter_range, down, loops)?;
                let before = self.bound.len();
                self.bound.extend([part.iter_var.clone(), part.accu_var.clone()]);
                self.bound.extend(part.iter_var2.clone());
                for inner in [&part.accu_init, &part.loop_cond, &part.loop_step, &part.result] {
                    self.expression(inner, down, loops + 1)?;
                }
                self.bound.truncate(before);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn is_events(&self, at: &IdedExpr) -> bool {
        let name = |name: &str| name == "events" && !self.bound.iter().any(|bound| bound == name);
        matches!(&at.expr, Expr::Ident(ident) if name(ident))
    }

    fn event(&mut self, kind: &str) {
        self.named.variables.insert("events".to_owned());
        self.named.events.insert(kind.to_owned());
    }

    fn variable(&mut self, at: &IdedExpr, name: &str) -> Result<(), ExpressionError> {
        if self.bound.iter().any(|bound| bound == name) {
            return Ok(());
        }
        if name == "events" {
            return Err(self.no_kind(at));
        }
        if !variables().any(|known| known == name) {
            let there = variables().collect::<Vec<_>>().join(", ");
            return Err(self.at(at, name, format!("there is no {name}; there are {there}")));
        }
        self.named.variables.insert(name.to_owned());
        Ok(())
    }

    fn no_kind(&self, at: &IdedExpr) -> ExpressionError {
        let wanted = "events is followed by a kind: events.purchase or events[\"Order Completed\"]";
        self.at(at, "events", wanted.to_owned())
    }

    /// An error at the place of a part; calls and loops are placed by their sign, so that the name is
    /// looked for around it.
    fn at(&self, at: &IdedExpr, name: &str, problem: String) -> ExpressionError {
        let told =
            self.program.source_info().offset_for(at.id).map_or(0, |(start, _)| start as usize);
        let told = self.source.char_indices().nth(told).map_or(self.source.len(), |(byte, _)| byte);
        let here = self.source[told..].starts_with(name).then_some(told);
        let before = || self.source[..told].rfind(name);
        let start = here.or_else(before).or_else(|| self.source.find(name)).unwrap_or(told);
        let before = &self.source[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ExpressionError::Name { line, column, problem }
    }
}

/// The parts of a chain of `&&` that stands in no brackets; the whole, where `||` or `?` stands beside it.
pub(super) fn clauses(source: &str) -> Vec<&str> {
    let bytes = source.as_bytes();
    let (mut depth, mut quote, mut begin, mut at) = (0_usize, None, 0, 0);
    let mut found = Vec::new();
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            (None, b'?' | b'|') if depth == 0 => return vec![source.trim()],
            (None, b'&') if depth == 0 && bytes.get(at + 1) == Some(&b'&') => {
                found.push(source[begin..at].trim());
                at += 1;
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found.push(source[begin..].trim());
    found
}
