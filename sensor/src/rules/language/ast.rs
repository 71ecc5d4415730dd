//! The syntax tree of a condition.

use std::fmt;

use crate::rules::report::source::Origin;

/// Place of a piece of condition in the files; spans are equal, so that trees compare by what they say.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub at: Origin,
    pub len: usize,
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Check(Check),
    /// A name that stands for a macro.
    Macro(String, Span),
}

/// A comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub left: Operand,
    pub op: Op,
    pub modifier: Option<Modifier>,
    pub right: Right,
    pub span: Span,
}

/// What is extracted from the event.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Field(FieldText),
    Transform(Transform),
}

/// A field as written.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldText {
    pub name: String,
    pub arg: Option<String>,
    pub span: Span,
}

/// A call of a transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    pub function: Function,
    pub args: Vec<Argument>,
    /// `getopt(…)[x]`.
    pub selector: Option<String>,
    pub span: Span,
}

/// An argument of a transformer.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    Operand(Operand),
    Text(String),
    List(Vec<Argument>),
}

/// The right-hand side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Right {
    /// `exists` has none.
    None,
    Value(Value),
    List(Vec<Value>),
    Operand(Operand),
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub bytes: Vec<u8>,
    pub span: Span,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($variant),* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As written in a condition.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words! {
    /// A comparison operator.
    Op {
        Eq "=", Ne "!=", Lt "<", Le "<=", Gt ">", Ge ">=",
        Glob "glob", Iglob "iglob", Contains "contains", Icontains "icontains", Bcontains "bcontains",
        Startswith "startswith", Bstartswith "bstartswith", Endswith "endswith", Regex "regex",
        In "in", Intersects "intersects", Pmatch "pmatch", Exists "exists",
    }
}

words! {
    /// How many of the listed values must satisfy a string operator.
    Modifier { One "oneof", Any "anyof", All "allof" }
}

words! {
    /// A transformer.
    Function {
        Tolower "tolower", Toupper "toupper", B64 "b64", Basename "basename", Len "len", Join "join",
        Concat "concat", Getopt "getopt", Val "val",
    }
}

impl Op {
    /// Takes a list on its right.
    pub const fn is_list(self) -> bool {
        matches!(self, Self::In | Self::Intersects | Self::Pmatch)
    }

    /// Orders its operands.
    pub const fn is_order(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }

    /// The operator written as `text`; `==` is `=`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "==" {
            return Some(Self::Eq);
        }
        Self::ALL.iter().copied().find(|op| op.as_str() == text)
    }
}

fn separated<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

impl Expr {
    /// Levels of the tree; a leaf is one.
    pub fn depth(&self) -> usize {
        match self {
            Self::And(items) | Self::Or(items) => {
                let mut deepest = 0;
                for item in items {
                    deepest = deepest.max(item.depth());
                }
                deepest + 1
            }
            Self::Not(inner) => inner.depth() + 1,
            Self::Check(_) | Self::Macro(..) => 1,
        }
    }
}

impl fmt::Display for Expr {
    /// The canonical form: binary nodes in parentheses, one blank around operators.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(items) | Self::Or(items) => {
                f.write_str("(")?;
                separated(f, items, if matches!(self, Self::And(_)) { " and " } else { " or " })?;
                f.write_str(")")
            }
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::Check(check) => check.fmt(f),
            Self::Macro(name, _) => f.write_str(name),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left, self.op.as_str())?;
        if let Some(modifier) = self.modifier {
            write!(f, " {}", modifier.as_str())?;
        }
        match &self.right {
            Right::None => Ok(()),
            Right::Value(value) => write!(f, " {value}"),
            Right::List(values) => {
                f.write_str(" (")?;
                separated(f, values, ", ")?;
                f.write_str(")")
            }
            // A plain name would be a literal.
            Right::Operand(Operand::Field(field)) => write!(f, " val({field})"),
            Right::Operand(operand) => write!(f, " {operand}"),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Transform(transform) => transform.fmt(f),
        }
    }
}

impl fmt::Display for FieldText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.arg {
            None => Ok(()),
            Some(arg) if is_bare_argument(arg) => write!(f, "[{arg}]"),
            Some(arg) => {
                f.write_str("[")?;
                quoted(f, arg.as_bytes())?;
                f.write_str("]")
            }
        }
    }
}

fn is_bare_argument(arg: &str) -> bool {
    !arg.is_empty()
        && !arg.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '[' | ']' | '"' | '\'' | '\u{b}'))
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.as_str())?;
        separated(f, &self.args, ", ")?;
        f.write_str(")")?;
        match &self.selector {
            Some(selector) => write!(f, "[{selector}]"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operand(operand) => operand.fmt(f),
            Self::Text(text) => quoted(f, text.as_bytes()),
            Self::List(items) => {
                f.write_str("(")?;
                separated(f, items, ", ")?;
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) if is_bare(text) => f.write_str(text),
            _ => quoted(f, &self.bytes),
        }
    }
}

/// True for a text that needs no quotes wherever it stands.
fn is_bare(text: &str) -> bool {
    let words = ["and", "or", "not", "exists"];
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"()\"'=,".contains(c);
    !text.is_empty()
        && text.chars().all(plain)
        && !words.contains(&text)
        && !Modifier::ALL.iter().any(|m| m.as_str() == text)
}

/// Writes the bytes as a quoted string that parses back to them.
fn quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                // As an escape it could stand before the closing quote, which must not follow a backslash.
                '\\' => f.write_str("\\x5c")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if (c as u32) < 0x20 => write!(f, "\\x{:02x}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    f.write_str("\"")
}
