//! Comparisons of one extracted value with literals, prepared at load so that a test allocates nothing and looks up
//! no text.

use std::collections::HashSet;
use std::net::IpAddr;

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::ast::Modifier;
use super::pattern::PathSet;
use crate::rules::registry::event::{Event, Value};
use crate::rules::registry::fields::FieldRef;

type Set<T> = HashSet<T, foldhash::fast::RandomState>;

/// A test of one value. A value of another type than the test's never passes: it is as good as missing.
#[derive(Debug)]
pub enum Matcher {
    Bytes(Bytes),
    Number(Number),
    Bool { equal: bool, literals: Vec<bool> },
    Ip { equal: bool, literals: Set<IpAddr> },
    Net { equal: bool, literals: Vec<Net> },
}

/// A test of a string or a byte buffer.
#[derive(Debug)]
pub enum Bytes {
    Eq(Box<[u8]>),
    Ne(Box<[u8]>),
    In(Set<Box<[u8]>>),
    Order(Order, Box<[u8]>),
    Contains(Box<Finder<'static>>),
    /// Without regard to the case of ASCII letters; the text as written beside.
    ContainsNoCase(Box<AhoCorasick>, Box<[u8]>),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    /// A pattern, and the bytes that everything it matches begins with.
    Pattern(Box<Regex>, Box<[u8]>),
    /// A pattern over text: bytes that are not UTF-8 count as U+FFFD.
    TextPattern(Box<Regex>),
    Path(Box<PathSet>),
    Several(Modifier, Vec<Bytes>),
    /// `intersects`/`in` of nothing, or of no literal that can be.
    Never,
}

/// An order relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Lt,
    Le,
    Gt,
    Ge,
}

impl Order {
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}

/// A test of a number of either sign.
#[derive(Debug)]
pub enum Number {
    Eq(i128),
    Ne(i128),
    In(Set<i128>),
    Order(Order, i128),
}

/// Parses an address. A dot makes it one of IPv4, as in Falco.
pub fn ip(text: &str) -> Option<IpAddr> {
    if text.contains('.') { text.parse().ok().map(IpAddr::V4) } else { text.parse().ok().map(IpAddr::V6) }
}

/// A network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    prefix: u8,
}

impl Net {
    /// Parses `address/length`; the length is mandatory.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address = ip(address)?;
        let prefix: u8 = prefix.parse().ok().filter(|_| prefix.bytes().all(|b| b.is_ascii_digit()))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then_some(Self { address, prefix })
    }

    pub const fn address(&self) -> IpAddr {
        self.address
    }

    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// True when `ip` lies in the network; an address of the other family never does.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(net) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(net) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

/// The other spellings of a value: calls its argument with one after the other until that returns true, which it returns.
type Spellings<'a> = dyn Fn(&mut dyn FnMut(&[u8]) -> bool) -> bool + 'a;

impl Bytes {
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Eq(literal) => value == &**literal,
            Self::Ne(literal) => value != &**literal,
            Self::In(literals) => literals.contains(value),
            Self::Order(order, literal) => order.holds(value.cmp(literal)),
            Self::Contains(finder) => finder.find(value).is_some(),
            Self::ContainsNoCase(finder, _) => finder.is_match(value),
            Self::StartsWith(literal) => value.starts_with(literal),
            Self::EndsWith(literal) => value.ends_with(literal),
            Self::Pattern(pattern, _) => pattern.is_match(value),
            Self::TextPattern(pattern) => {
                // Allocates for a value that is not UTF-8 only.
                std::str::from_utf8(value).is_ok_and(|_| pattern.is_match(value))
                    || (std::str::from_utf8(value).is_err()
                        && pattern.is_match(String::from_utf8_lossy(value).as_bytes()))
            }
            Self::Path(set) => set.matches(value),
            Self::Several(modifier, tests) => several(*modifier, tests, |test| test.matches(value)),
            Self::Never => false,
        }
    }

    /// The same of a value with other spellings, which `others` calls its argument with until that returns true: one of them
    /// passes, or, for `!=`, all do.
    fn matches_spellings(&self, value: &[u8], others: &Spellings<'_>) -> bool {
        match self {
            Self::Ne(_) => self.matches(value) && !others(&mut |other| !self.matches(other)),
            Self::Several(modifier, tests) => {
                several(*modifier, tests, |test| test.matches_spellings(value, others))
            }
            _ => self.matches(value) || others(&mut |other| self.matches(other)),
        }
    }
}

/// Whether as many tests pass as the modifier wants.
fn several(modifier: Modifier, tests: &[Bytes], passes: impl FnMut(&&Bytes) -> bool) -> bool {
    let mut passed = tests.iter().filter(passes);
    match modifier {
        Modifier::Any => passed.next().is_some(),
        Modifier::One => passed.next().is_some() && passed.next().is_none(),
        Modifier::All => !tests.is_empty() && passed.count() == tests.len(),
    }
}

impl Number {
    fn matches(&self, value: i128) -> bool {
        match self {
            Self::Eq(literal) => value == *literal,
            Self::Ne(literal) => value != *literal,
            Self::In(literals) => literals.contains(&value),
            Self::Order(order, literal) => order.holds(value.cmp(literal)),
        }
    }
}

/// The number of a numeric value.
pub fn number(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Int(n) => Some(n.into()),
        Value::Uint(n) => Some(n.into()),
        _ => None,
    }
}

impl Matcher {
    #[inline]
    pub fn matches(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Bytes(test), Value::Str(bytes) | Value::Buf(bytes)) => test.matches(bytes),
            (Self::Number(test), value) => number(value).is_some_and(|value| test.matches(value)),
            (Self::Bool { equal, literals }, Value::Bool(value)) => literals.contains(&value) == *equal,
            (Self::Ip { equal, literals }, Value::Ip(ip)) => literals.contains(&ip) == *equal,
            (Self::Net { equal, literals }, Value::Ip(ip)) => {
                literals.iter().any(|net| net.contains(ip)) == *equal
            }
            _ => false,
        }
    }
}

impl Matcher {
    /// Whether the path that is a field of an event passes, whichever way it is spelled.
    #[inline]
    pub fn holds_of_path<E: Event>(&self, event: &E, field: &FieldRef, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Bytes(test), Value::Str(bytes)) => test.matches_spellings(bytes, &|each| {
                event.any(field, &mut |other| matches!(other, Value::Str(other) if each(other)))
            }),
            _ => self.matches(value),
        }
    }
}

/// Compares two extracted values; `None` when they cannot be compared.
pub fn compare(a: Value<'_>, b: Value<'_>) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Str(a) | Value::Buf(a), Value::Str(b) | Value::Buf(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(&b)),
        (Value::Ip(a), Value::Ip(b)) => Some(a.cmp(&b)),
        (a, b) => Some(number(a)?.cmp(&number(b)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (net, ip, inside) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("1.2.3.4/32", "1.2.3.4", true),
            ("fe80::/10", "fe80::1", true),
            ("::/0", "::1", true),
            ("::/0", "1.2.3.4", false),
        ] {
            assert_eq!(Net::parse(net).unwrap().contains(ip.parse().unwrap()), inside, "{net} {ip}");
        }
        assert!(
            ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/x", "x/8"].iter().all(|text| Net::parse(text).is_none())
        );
    }
}
