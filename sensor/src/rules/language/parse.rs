//! Condition text to syntax tree: Falco's whole grammar, one function per production; open parentheses stand on a stack of
//! their own, so that deep nesting does not take the thread's.
//!
//! Quirks that old rules rely on are kept and named where they are: a bare word after an operator may be nearly anything,
//! a quoted string cannot end in a backslash, `\` before a blank is a backslash.

use super::ast::{
    Argument, Check, Expr, FieldText, Function, Modifier, Op, Operand, Right, Span, Transform, Value,
};
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::source::Origin;
use crate::rules::report::text::Text;

/// Deepest nesting of parentheses, as Falco has it for the conditions of rules; also that of the tree with its macros.
pub const MAX_DEPTH: usize = 1000;
/// Deepest nesting of transformer calls. They are parsed by recursion, unlike parentheses.
const MAX_CALLS: usize = 200;

/// Parses a whole condition.
pub fn condition(text: &Text) -> Result<Expr, Complaint> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.blanks();
    if parser.rest().is_empty() {
        return Err(parser.complain("the condition is empty"));
    }
    let expr = parser.or()?;
    parser.blanks();
    if parser.rest().is_empty() {
        return Ok(expr);
    }
    let read = parser.text.as_str()[..parser.at].trim_end();
    let tail: String = read.chars().rev().take(24).collect::<Vec<_>>().into_iter().rev().collect();
    let message = format!("unexpected token after '{tail}', expecting 'or', 'and'");
    Err(parser.complain(message).suggesting(parser.called(read)))
}

/// Parses a text that is one field or transformer call and nothing else (an exception's field, an output's `%…`).
pub fn operand(text: &str) -> Result<Operand, Complaint> {
    let text = Text::placed(text, Origin::default());
    let mut parser = Parser { text: &text, at: 0, depth: 0 };
    match parser.left()? {
        Some(operand) if parser.rest().is_empty() => Ok(operand),
        _ => Err(parser.complain("not a field or transformer")),
    }
}

/// The longest field or transformer call at the start of `text`, and its length.
pub fn operand_prefix(text: &str) -> Result<Option<(Operand, usize)>, Complaint> {
    let text = Text::placed(text, Origin::default());
    let mut parser = Parser { text: &text, at: 0, depth: 0 };
    Ok(parser.left()?.map(|operand| (operand, parser.at)))
}

/// The last word of a text.
fn last_word(text: &str) -> &str {
    let start = text.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    text.get(start..).unwrap_or_default()
}

struct Parser<'a> {
    text: &'a Text,
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, Complaint>;

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        &self.text.as_str().as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn complain(&self, message: impl Into<String>) -> Complaint {
        Complaint::new(Code::CompileCondition, self.text.origin(self.at), message)
    }

    fn span(&self, from: usize) -> Span {
        let (first, last) = (self.text.origin(from), self.text.origin(self.at.saturating_sub(1)));
        // A piece that was put together from several places is shown by its beginning.
        let len = if first.file == last.file && last.at >= first.at {
            (last.at - first.at) as usize + 1
        } else {
            1
        };
        Span { at: first, len }
    }

    fn blanks(&mut self) {
        self.at += self.rest().iter().take_while(|b| is_blank(**b)).count();
    }

    /// Consumes `word` when it comes next.
    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// Consumes `word` and the blank that must follow.
    fn take_blank(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word.as_bytes())
            && self.rest().get(word.len()).is_some_and(|b| is_blank(*b));
        if found {
            self.at += word.len() + 1;
        }
        found
    }

    /// Consumes `and` or `or`, which a blank or a parenthesis must follow.
    fn take_separator(&mut self, word: &str) -> bool {
        let start = self.at;
        self.blanks();
        let after = self.rest().get(word.len()).copied();
        if self.rest().starts_with(word.as_bytes()) && after.is_some_and(|b| is_blank(b) || b == b'(') {
            self.at += word.len();
            return true;
        }
        self.at = start;
        false
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_CALLS {
            return Err(self.complain(format!("transformers nested deeper than {MAX_CALLS} levels")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// `and`, `or`, `not` and parentheses. The levels are the open parentheses, the outermost being the whole text.
    fn or(&mut self) -> Parsed<Expr> {
        let mut levels = Vec::new();
        let mut level = Level { open: self.at, ..Level::default() };
        'operand: loop {
            self.blanks();
            let negated = self.nots();
            if self.peek() == Some(b'(') {
                if levels.len() >= MAX_DEPTH {
                    return Err(self.complain(format!("nested deeper than {MAX_DEPTH} levels")));
                }
                let inner = Level { open: self.at, negated, ..Level::default() };
                levels.push(std::mem::replace(&mut level, inner));
                self.at += 1;
                continue;
            }
            let mut expr = negate(self.check()?, negated);
            loop {
                level.ands.push(expr);
                if self.take_separator("and") {
                    continue 'operand;
                }
                if self.take_separator("or") {
                    level.end_and();
                    continue 'operand;
                }
                let Some(outer) = levels.pop() else { return Ok(level.end()) };
                self.blanks();
                if !self.take(")") {
                    return Err(self.unclosed(level.open));
                }
                expr = std::mem::replace(&mut level, outer).end();
            }
        }
    }

    /// Consumes `not`s; true when they negate what follows.
    fn nots(&mut self) -> bool {
        let mut negated = false;
        loop {
            if self.take_blank("not") {
                self.blanks();
                negated = !negated;
            } else if self.rest().starts_with(b"not(") {
                self.at += "not".len();
                return !negated;
            } else {
                return negated;
            }
        }
    }

    /// The error about a parenthesis that is not closed where it should be.
    fn unclosed(&self, open: usize) -> Complaint {
        let at = if self.rest().is_empty() { open } else { self.at };
        let message = format!("expected ')' or 'and', 'or', found {}", self.found());
        Complaint::new(Code::CompileCondition, self.text.origin(at), message)
    }

    /// The next word, for messages.
    fn found(&self) -> String {
        let rest = &self.text.as_str()[self.at..];
        match rest.split(|c: char| c.is_whitespace()).next() {
            None | Some("") => "the end".to_owned(),
            Some(word) => format!("'{}'", word.chars().take(40).collect::<String>()),
        }
    }

    fn check(&mut self) -> Parsed<Expr> {
        let start = self.at;
        if let Some(left) = self.left()? {
            self.blanks();
            let (op, modifier, right) = self.comparison(&left)?;
            return Ok(Expr::Check(Check { left, op, modifier, right, span: self.span(start) }));
        }
        match self.ident() {
            Some(name) => {
                let name = name.to_owned();
                Ok(Expr::Macro(name, self.span(start)))
            }
            None => Err(self.complain(format!("expected a field, a macro or '(', found {}", self.found()))),
        }
    }

    /// What was meant when a parenthesis follows a word that is no transformer or modifier.
    fn called(&self, read: &str) -> Option<&'static str> {
        let words = Function::ALL.iter().map(|function| function.as_str());
        let words = words.chain(Modifier::ALL.iter().map(|modifier| modifier.as_str()));
        if self.peek() == Some(b'(') {
            crate::rules::report::suggest::nearest(last_word(read), words)
        } else {
            None
        }
    }

    /// A field or a transformer call; nothing is consumed when neither comes next.
    fn left(&mut self) -> Parsed<Option<Operand>> {
        if let Some(transform) = self.transform(false)? {
            return Ok(Some(Operand::Transform(transform)));
        }
        Ok(self.field()?.map(Operand::Field))
    }

    fn ident(&mut self) -> Option<&str> {
        let rest = self.rest();
        let letters = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if letters == 0 {
            return None;
        }
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let start = self.at;
        self.at += len;
        Some(&self.text.as_str()[start..self.at])
    }

    fn field(&mut self) -> Parsed<Option<FieldText>> {
        let start = self.at;
        let mut parts = 0;
        loop {
            let before = self.at;
            if parts > 0 && !self.take(".") {
                break;
            }
            if self.ident().is_none() {
                self.at = before;
                break;
            }
            parts += 1;
        }
        if parts < 2 {
            self.at = start;
            return Ok(None);
        }
        let name = self.text.as_str()[start..self.at].to_owned();
        let arg = if self.peek() == Some(b'[') { Some(self.argument()?) } else { None };
        Ok(Some(FieldText { name, arg, span: self.span(start) }))
    }

    /// `[arg]`, the bracket being next.
    fn argument(&mut self) -> Parsed<String> {
        let open = self.at;
        self.at += 1;
        let quoted = matches!(self.peek(), Some(b'"' | b'\''));
        let arg = if quoted {
            let bytes = self.quoted()?;
            String::from_utf8(bytes).map_err(|_| self.complain("the argument is not UTF-8"))?
        } else {
            let bare = |b: &u8| !is_space(*b) && !matches!(*b, b'[' | b']' | b'"' | b'\'');
            let len = self.rest().iter().take_while(|b| bare(b)).count();
            let start = self.at;
            self.at += len;
            self.text.as_str()[start..self.at].to_owned()
        };
        let absent = arg.is_empty() && !quoted;
        if absent || !self.take("]") {
            let at = self.text.origin(open);
            let message = if absent { "expected an argument in '[]'" } else { "expected ']'" };
            return Err(Complaint::new(Code::CompileCondition, at, message));
        }
        Ok(arg)
    }

    /// A transformer call; `val` counts only on the right.
    fn transform(&mut self, right: bool) -> Parsed<Option<Transform>> {
        let start = self.at;
        let Some(word) = self.ident() else { return Ok(None) };
        let function = Function::ALL.iter().copied().find(|function| function.as_str() == word);
        let call = self.peek() == Some(b'(');
        let Some(function) = function.filter(|f| call && (right || *f != Function::Val)) else {
            self.at = start;
            return Ok(None);
        };
        self.at += 1;
        let args = self.deeper(|parser| parser.arguments(function != Function::Val))?;
        let selector = match self.peek() {
            Some(b'[') if function == Function::Getopt => Some(self.argument()?),
            _ => None,
        };
        Ok(Some(Transform { function, args, selector, span: self.span(start) }))
    }

    /// Arguments up to and with the closing parenthesis.
    fn arguments(&mut self, lists: bool) -> Parsed<Vec<Argument>> {
        let mut args = Vec::new();
        loop {
            self.blanks();
            args.push(self.transform_argument(lists)?);
            self.blanks();
            if self.take(")") {
                return Ok(args);
            }
            if !self.take(",") {
                return Err(self.complain(format!("expected ',' or ')', found {}", self.found())));
            }
        }
    }

    fn transform_argument(&mut self, lists: bool) -> Parsed<Argument> {
        match self.peek() {
            Some(b'(') if lists => {
                self.at += 1;
                self.blanks();
                if self.take(")") {
                    return Ok(Argument::List(Vec::new()));
                }
                self.deeper(|parser| parser.arguments(false)).map(Argument::List)
            }
            Some(b'"' | b'\'') => {
                let bytes = self.quoted()?;
                let text =
                    String::from_utf8(bytes).map_err(|_| self.complain("the argument is not UTF-8"))?;
                Ok(Argument::Text(text))
            }
            _ => {
                if let Some(operand) = self.left()? {
                    return Ok(Argument::Operand(operand));
                }
                match self.number() {
                    Some(number) => Ok(Argument::Text(number.to_owned())),
                    None => Err(self.complain(format!(
                        "expected a field, a transformer, a number or a quoted text, found {}",
                        self.found()
                    ))),
                }
            }
        }
    }

    fn comparison(&mut self, left: &Operand) -> Parsed<(Op, Option<Modifier>, Right)> {
        if self.take("exists") {
            return Ok((Op::Exists, None, Right::None));
        }
        for op in [Op::Le, Op::Lt, Op::Ge, Op::Gt] {
            if self.take(op.as_str()) {
                self.blanks();
                return Ok((op, None, self.number_right(op)?));
            }
        }
        if let Some(op) = self.string_operator() {
            let is_symbol = matches!(op, Op::Eq | Op::Ne);
            let after = self.at;
            self.blanks();
            let apart = !is_symbol || self.at > after;
            if let Some(right) = self.operand_right()? {
                return Ok((op, None, right));
            }
            if let Some(modifier) = apart.then(|| self.modifier()).flatten() {
                return Ok((op, Some(modifier), self.list_or_name(op)?));
            }
            return Ok((op, None, Right::Value(self.value(op)?)));
        }
        for op in [Op::Intersects, Op::In, Op::Pmatch] {
            if self.take(op.as_str()) {
                self.blanks();
                if let Some(right) = self.operand_right()? {
                    return Ok((op, None, right));
                }
                return Ok((op, None, self.list_or_name(op)?));
            }
        }
        let word = self.found();
        let suggestion = crate::rules::report::suggest::nearest(
            word.trim_matches('\''),
            Op::ALL.iter().map(|op| op.as_str()),
        );
        Err(self
            .complain(format!("expected an operator after '{left}', found {word}"))
            .suggesting(suggestion))
    }

    fn string_operator(&mut self) -> Option<Op> {
        for (word, op) in [("==", Op::Eq), ("=", Op::Eq), ("!=", Op::Ne)] {
            if self.take(word) {
                return Some(op);
            }
        }
        let words = [
            Op::Glob,
            Op::Iglob,
            Op::Contains,
            Op::Icontains,
            Op::Bcontains,
            Op::Startswith,
            Op::Bstartswith,
            Op::Endswith,
            Op::Regex,
        ];
        words.into_iter().find(|op| self.take_blank(op.as_str()))
    }

    /// A modifier, which must be followed by a list or a name; otherwise the word is an ordinary value.
    fn modifier(&mut self) -> Option<Modifier> {
        let start = self.at;
        let modifier = Modifier::ALL.iter().copied().find(|modifier| self.take_blank(modifier.as_str()))?;
        self.blanks();
        if self.peek() == Some(b'(') {
            return Some(modifier);
        }
        let list = self.at;
        let is_name = self.ident().is_some_and(|word| !matches!(word, "and" | "or" | "not"));
        self.at = if is_name { list } else { start };
        is_name.then_some(modifier)
    }

    fn operand_right(&mut self) -> Parsed<Option<Right>> {
        let Some(mut transform) = self.transform(true)? else { return Ok(None) };
        if transform.function != Function::Val {
            return Ok(Some(Right::Operand(Operand::Transform(transform))));
        }
        match (transform.args.pop(), transform.args.is_empty()) {
            (Some(Argument::Operand(field @ Operand::Field(_))), true) => Ok(Some(Right::Operand(field))),
            _ => Err(Complaint::new(Code::CompileCondition, transform.span.at, "val() takes one field")
                .spanning(transform.span.len)),
        }
    }

    fn number_right(&mut self, op: Op) -> Parsed<Right> {
        if let Some(right) = self.operand_right()? {
            return Ok(right);
        }
        let start = self.at;
        match self.number() {
            Some(number) => {
                let bytes = number.as_bytes().to_vec();
                Ok(Right::Value(Value { bytes, span: self.span(start) }))
            }
            None => Err(self.complain(format!(
                "expected a number after '{}', found {}",
                op.as_str(),
                self.found()
            ))),
        }
    }

    /// A number token: hexadecimal, or decimal with an optional fraction and exponent.
    fn number(&mut self) -> Option<&str> {
        let rest = self.rest();
        let digits = |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let len = if rest.starts_with(b"0x") || rest.starts_with(b"0X") {
            let hex = rest[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
            if hex == 0 { 1 } else { 2 + hex }
        } else {
            let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
            let whole = digits(sign);
            if whole == 0 {
                return None;
            }
            let mut len = sign + whole;
            if rest.get(len) == Some(&b'.') {
                len += 1 + digits(len + 1);
            }
            if rest.get(len) == Some(&b'e') && matches!(rest.get(len + 1), Some(b'+' | b'-')) {
                let exponent = digits(len + 2);
                len += if exponent == 0 { 0 } else { 2 + exponent };
            }
            len
        };
        let start = self.at;
        self.at += len;
        Some(&self.text.as_str()[start..self.at])
    }

    fn list_or_name(&mut self, op: Op) -> Parsed<Right> {
        if self.peek() == Some(b'(') {
            return self.list().map(Right::List);
        }
        let start = self.at;
        match self.ident() {
            Some(name) => {
                let bytes = name.as_bytes().to_vec();
                Ok(Right::List(vec![Value { bytes, span: self.span(start) }]))
            }
            None => Err(self.complain(format!(
                "expected a list in parentheses after '{}', found {}",
                op.as_str(),
                self.found()
            ))),
        }
    }

    fn list(&mut self) -> Parsed<Vec<Value>> {
        self.at += 1;
        self.blanks();
        let mut values = Vec::new();
        if self.take(")") {
            return Ok(values);
        }
        loop {
            self.blanks();
            values.push(self.value(Op::In)?);
            self.blanks();
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(self.complain(format!("expected ',' or ')' in the list, found {}", self.found())));
            }
        }
    }

    fn value(&mut self, op: Op) -> Parsed<Value> {
        let start = self.at;
        if matches!(self.peek(), Some(b'"' | b'\'')) {
            let bytes = self.quoted()?;
            return Ok(Value { bytes, span: self.span(start) });
        }
        let bare = |b: &u8| !is_space(*b) && !matches!(*b, b'(' | b')' | b'"' | b'\'' | b'=' | b',');
        let len = self.rest().iter().take_while(|b| bare(b)).count();
        if len == 0 {
            return Err(self.complain(format!(
                "expected a value after '{}', found {}",
                op.as_str(),
                self.found()
            )));
        }
        let bytes = self.rest()[..len].to_vec();
        self.at += len;
        Ok(Value { bytes, span: self.span(start) })
    }

    /// A quoted string, the quote being next. A quote after a backslash never closes, however many backslashes stand there.
    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        let quote = self.peek().unwrap_or(b'"');
        let rest = self.rest();
        let close = (1..rest.len()).find(|at| rest[*at] == quote && rest[at - 1] != b'\\');
        let Some(close) = close else {
            return Err(self.complain(format!("the text is not closed by {}", quote as char)));
        };
        let body = rest[1..close].to_vec();
        let start = self.at + 1;
        let mut bytes = Vec::with_capacity(body.len());
        let mut at = 0;
        while at < body.len() {
            let byte = body[at];
            at += 1;
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let escape = body.get(at).copied();
            at += 1;
            match escape {
                Some(b'b') => bytes.push(8),
                Some(b'f') => bytes.push(12),
                Some(b'n') => bytes.push(b'\n'),
                Some(b'r') => bytes.push(b'\r'),
                Some(b't') => bytes.push(b'\t'),
                Some(c @ (b'\\' | b'/')) => bytes.push(c),
                Some(c) if c == quote => bytes.push(c),
                // Kept for rules older than escapes; the blank goes with it.
                Some(b' ') => bytes.push(b'\\'),
                Some(b'x') => {
                    let digits = body.get(at..at + 2).and_then(|hex| std::str::from_utf8(hex).ok());
                    let digits = digits.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
                    match digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                        Some(byte) => bytes.push(byte),
                        None => {
                            return Err(self.bad_escape(start + at - 2, "\\x needs two hexadecimal digits"));
                        }
                    }
                    at += 2;
                }
                other => {
                    let shown = other.map_or(String::new(), |c| (c as char).to_string());
                    return Err(self.bad_escape(start + at - 2, format!("unsupported escape '\\{shown}'")));
                }
            }
        }
        self.at += close + 1;
        Ok(bytes)
    }

    fn bad_escape(&self, at: usize, message: impl Into<String>) -> Complaint {
        Complaint::new(Code::CompileCondition, self.text.origin(at), message).spanning(2)
    }
}

/// What has been read of a group in parentheses.
#[derive(Default)]
struct Level {
    /// Where it was opened.
    open: usize,
    /// Under a `not`.
    negated: bool,
    ors: Vec<Expr>,
    /// The operands of the `and` that is being read.
    ands: Vec<Expr>,
}

impl Level {
    fn end_and(&mut self) {
        let ands = std::mem::take(&mut self.ands);
        self.ors.push(one_or(ands, Expr::And));
    }

    fn end(mut self) -> Expr {
        self.end_and();
        negate(one_or(self.ors, Expr::Or), self.negated)
    }
}

fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

fn one_or(mut items: Vec<Expr>, make: fn(Vec<Expr>) -> Expr) -> Expr {
    match items.pop() {
        Some(only) if items.is_empty() => only,
        Some(last) => {
            items.push(last);
            make(items)
        }
        None => make(items),
    }
}

/// A blank of the grammar.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 8 | b'\r' | b'\n')
}

/// `[:space:]`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
