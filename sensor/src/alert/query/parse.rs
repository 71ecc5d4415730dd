//! Reads the text of a query: one pass, one term at a time, the first error ends it.

use std::fmt;

use super::facet::Facet;
use super::pattern::Pattern;
use super::pattern::PatternBuilder;
use super::term::{FIELD, Key, Order, Term, Test};
use super::time;
use crate::rules::{Priority, nearest};

/// Longest query taken, in bytes; a URL holds it.
const MAX_LENGTH: usize = 8192;
/// Most values of one query, so that a hostile one cannot make the database slow.
const MAX_VALUES: usize = 200;

/// A key of the language, for completion and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHelp {
    pub word: &'static str,
    /// Other spellings.
    pub others: &'static [&'static str],
    /// What it looks at, in a few words.
    pub means: &'static str,
}

/// All keys: the facets, and those that alerts are not counted by.
pub fn keys() -> impl Iterator<Item = KeyHelp> {
    let facet = |facet: &Facet| KeyHelp { word: facet.word(), others: facet.others(), means: facet.means() };
    Facet::ALL.iter().map(facet).chain(Special::ALL.map(Special::help))
}

/// Keys beside the facets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    Uuid,
    Since,
    Until,
    Time,
}

impl Special {
    pub const ALL: [Self; 4] = [Self::Uuid, Self::Since, Self::Until, Self::Time];

    pub const fn help(self) -> KeyHelp {
        let (word, others, means): (_, &[&str], _) = match self {
            Self::Uuid => ("uuid", &["id"], "identity of one alert"),
            Self::Since => ("since", &["after"], "events not older than a span (2h) or a time"),
            Self::Until => ("until", &["before"], "events before a span ago or a time"),
            Self::Time => ("time", &[], "event time; compare with >=, >, <=, <"),
        };
        KeyHelp { word, others, means }
    }

    fn named(word: &str) -> Option<Self> {
        let is = |name: &str| name.eq_ignore_ascii_case(word);
        Self::ALL.into_iter().find(|key| is(key.help().word) || key.help().others.iter().any(|name| is(name)))
    }
}

/// A text is no query: what is wrong, what to do, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    pub message: String,
    /// Byte offset of the part that was not understood.
    pub at: usize,
    /// Its length in bytes; 0 when something is missing there.
    pub len: usize,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at + 1, self.message)
    }
}

impl std::error::Error for QueryError {}

fn error(at: usize, len: usize, message: impl Into<String>) -> QueryError {
    QueryError { message: message.into(), at, len }
}

/// What stands between a key and its values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Order(Order),
}

/// A value and where it stands.
struct Word {
    pattern: Pattern,
    at: usize,
    len: usize,
}

pub(super) fn query(text: &str, now: i64) -> Result<Vec<Term>, QueryError> {
    if text.len() > MAX_LENGTH {
        return Err(error(
            MAX_LENGTH,
            text.len() - MAX_LENGTH,
            format!("the query is longer than {MAX_LENGTH} bytes"),
        ));
    }
    let mut parser = Parser { text, at: 0, now, values: 0 };
    let mut terms = Vec::new();
    while parser.skip_blanks() {
        terms.push(parser.term()?);
    }
    Ok(terms)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    now: i64,
    values: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        if there {
            self.at += c.len_utf8();
        }
        there
    }

    /// False at the end of the text.
    fn skip_blanks(&mut self) -> bool {
        while let Some(c) = self.peek().filter(|c| c.is_whitespace()) {
            self.at += c.len_utf8();
        }
        !self.rest().is_empty()
    }

    fn term(&mut self) -> Result<Term, QueryError> {
        let start = self.at;
        let mut negated = self.take('-');
        if negated && self.peek().is_none_or(char::is_whitespace) {
            return Err(error(start, 1, "`-` must stand directly before the term that it turns round"));
        }
        let Some((name, operator)) = self.key() else {
            let word = self.word(&[])?;
            let bare = self.text.get(word.at..word.at + word.len).unwrap_or_default();
            if matches!(bare, "AND" | "OR" | "NOT") {
                return Err(error(
                    word.at,
                    word.len,
                    format!(
                        "terms are joined by AND already; write `key:(a b)` for OR, `-term` for NOT, or \"{bare}\" to \
                         search for the word"
                    ),
                ));
            }
            if word.pattern.pieces().iter().all(String::is_empty) {
                return Err(error(word.at, word.len, "there is no text to search for"));
            }
            return Ok(Term { negated, test: Test::Text(word.pattern) });
        };
        negated ^= operator == Operator::IsNot;
        let key_at = start + usize::from(self.text.as_bytes().get(start) == Some(&b'-'));
        let values = self.values()?;
        let test = self.test(name, key_at, operator, values)?;
        Ok(Term { negated, test })
    }

    /// A key and its operator, if the text goes on with one; else nothing is taken.
    fn key(&mut self) -> Option<(&'a str, Operator)> {
        let rest = self.rest();
        // Arguments stand in brackets and may hold nearly anything: `container.label[app.kubernetes.io/name]`.
        let mut argument = false;
        let name_end = rest
            .find(|c: char| {
                argument = c == '[' || argument && c != ']';
                !(c.is_ascii_alphanumeric()
                    || matches!(c, '_' | '.' | '-' | '[' | ']')
                    || argument && !c.is_whitespace() && c != '"')
            })
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        let (operator, len) = [
            ("!=", Operator::IsNot),
            (">=", Operator::Order(Order::GreaterOrEqual)),
            ("<=", Operator::Order(Order::LessOrEqual)),
            (">", Operator::Order(Order::Greater)),
            ("<", Operator::Order(Order::Less)),
            (":", Operator::Is),
            ("=", Operator::Is),
        ]
        .into_iter()
        .find_map(|(sign, operator)| after.starts_with(sign).then_some((operator, sign.len())))?;
        self.at += name_end + len;
        Some((name, operator))
    }

    /// One value, values with commas between them, or values in parentheses.
    fn values(&mut self) -> Result<Vec<Word>, QueryError> {
        let mut words = Vec::new();
        let open = self.at;
        if self.take('(') {
            loop {
                while self.peek().is_some_and(|c| c.is_whitespace() || c == ',') {
                    self.at += self.peek().map_or(0, char::len_utf8);
                }
                if self.take(')') {
                    break;
                }
                if self.rest().is_empty() {
                    return Err(error(open, self.at - open, "the list of values is not closed; add `)`"));
                }
                words.push(self.word(&[',', ')'])?);
            }
            if self.peek().is_some_and(|c| !c.is_whitespace()) {
                return Err(error(self.at, 1, "a blank is missing after `)`"));
            }
        } else {
            loop {
                words.push(self.word(&[','])?);
                if !self.take(',') {
                    break;
                }
            }
        }
        if words.is_empty() {
            return Err(error(open, self.at - open, "the list has no value"));
        }
        self.values += words.len();
        if self.values > MAX_VALUES {
            return Err(error(open, self.at - open, format!("a query may have {MAX_VALUES} values")));
        }
        Ok(words)
    }

    /// Text up to a blank or one of `ends`; quoted parts and escaped characters may hold any.
    fn word(&mut self, ends: &[char]) -> Result<Word, QueryError> {
        let at = self.at;
        let mut pattern = PatternBuilder::default();
        let mut quoted = false;
        let mut open = None;
        while let Some(c) = self.peek() {
            if open.is_none() && (c.is_whitespace() || ends.contains(&c)) {
                break;
            }
            self.at += c.len_utf8();
            match c {
                '"' => {
                    quoted = true;
                    open = if open.is_some() { None } else { Some(self.at - 1) };
                }
                '*' => pattern.wildcard(),
                '\\' => {
                    let Some(next) = self.peek() else {
                        return Err(error(self.at - 1, 1, "`\\` at the end; write `\\\\` for a backslash"));
                    };
                    self.at += next.len_utf8();
                    pattern.push(next);
                }
                c => pattern.push(c),
            }
        }
        let len = self.at - at;
        if let Some(quote) = open {
            return Err(error(
                quote,
                self.at - quote,
                "the quote is not closed; add `\"`, or write `\\\"` for a quote",
            ));
        }
        if pattern.is_empty() && !quoted {
            return Err(error(at, 0, "a value is missing here; write `\"\"` for an empty one, `*` for any"));
        }
        Ok(Word { pattern: pattern.finish(), at, len })
    }

    fn test(&self, name: &str, at: usize, operator: Operator, words: Vec<Word>) -> Result<Test, QueryError> {
        let key = match (Facet::named(name), Special::named(name)) {
            (Some(Facet::Priority), _) => return priority(operator, &words),
            (Some(facet), _) => Key::Facet(facet),
            (None, Some(Special::Uuid)) => Key::Uuid,
            (None, Some(special)) => return self.time(special, at, name, operator, &words),
            (None, None) => match name.strip_prefix(FIELD) {
                Some("") => {
                    return Err(error(at, name.len(), "the name of a field is missing after `field.`"));
                }
                Some(field) => Key::Field(field.to_owned()),
                None if name.contains('.') => Key::Field(name.to_owned()),
                None => return Err(error(at, name.len(), unknown(name))),
            },
        };
        if let Operator::Order(order) = operator {
            let sign = order.as_str();
            return Err(error(
                at + name.len(),
                sign.len(),
                format!("only `priority` and `time` can be compared with `{sign}`; write `{name}:value`"),
            ));
        }
        Ok(Test::Is(key, words.into_iter().map(|w| w.pattern).collect()))
    }

    fn time(
        &self,
        key: Special,
        at: usize,
        name: &str,
        operator: Operator,
        words: &[Word],
    ) -> Result<Test, QueryError> {
        let order = match (key, operator) {
            (Special::Since, Operator::Is) => Order::GreaterOrEqual,
            (Special::Until, Operator::Is) => Order::Less,
            (Special::Time, Operator::Order(order)) => order,
            (Special::Time, _) => {
                return Err(error(
                    at,
                    name.len(),
                    "compare the time with `time>=` and `time<`, or use `since:` and `until:`",
                ));
            }
            _ => {
                let word = key.help().word;
                return Err(error(at, name.len(), format!("write `{word}:` and a time, e.g. `{word}:2h`")));
            }
        };
        let [word] = words else {
            return Err(error(at, name.len(), format!("`{name}` takes one time")));
        };
        let text = word.pattern.as_literal().unwrap_or_default();
        let Some(at) = time::point(text, self.now) else {
            return Err(error(
                word.at,
                word.len,
                "not a time; write a span before now (`30m`, `2h`, `7d`), a day (`2026-11-24`, UTC) or RFC 3339 \
                 (`2026-11-24T10:00:00Z`)",
            ));
        };
        Ok(Test::Time { order, at, text: text.to_owned() })
    }
}

fn priority(operator: Operator, words: &[Word]) -> Result<Test, QueryError> {
    let mut any = words
        .iter()
        .map(|word| {
            let text = word.pattern.as_literal().unwrap_or("*");
            text.parse::<Priority>().map_err(|e| error(word.at, word.len, e.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if let Operator::Order(order) = operator {
        return match any.as_slice() {
            [one] => Ok(Test::Severity(order, *one)),
            _ => Err(error(words.first().map_or(0, |w| w.at), 0, "a comparison takes one priority")),
        };
    }
    any.sort_unstable();
    any.dedup();
    Ok(Test::PriorityIs(any))
}

/// What to say of a key that is none.
fn unknown(name: &str) -> String {
    let names = keys().flat_map(|key| std::iter::once(key.word).chain(key.others.iter().copied()));
    let near = nearest(&name.to_ascii_lowercase(), names);
    let near = near.map_or_else(String::new, |key| format!("did you mean `{key}`? "));
    format!(
        "unknown key `{name}`; {near}Write `{FIELD}{name}:` for an output field of that name, or put quotes around the \
         text to search for it"
    )
}
