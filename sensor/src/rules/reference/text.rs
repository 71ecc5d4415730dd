//! String functions of the reference: byte by byte, without any library but regular expressions.

use std::net::IpAddr;

use crate::rules::language::ast::Op;

pub fn lower(byte: u8) -> u8 {
    if byte.is_ascii_uppercase() { byte + 32 } else { byte }
}

pub fn upper(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() { byte - 32 } else { byte }
}

/// One comparison of two byte strings.
pub fn compare(value: &[u8], op: Op, other: &[u8]) -> bool {
    let folded = |bytes: &[u8]| bytes.iter().map(|b| lower(*b)).collect::<Vec<u8>>();
    match op {
        Op::Contains => contains(value, other),
        Op::Icontains => contains(&folded(value), &folded(other)),
        Op::Bcontains => contains(value, &hex(other)),
        Op::Startswith => starts(value, other),
        Op::Bstartswith => starts(value, &hex(other)),
        Op::Endswith => {
            let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
            starts(&reversed(value), &reversed(other))
        }
        Op::Glob => fnmatch(other, value, false),
        Op::Iglob => fnmatch(other, value, true),
        Op::Regex => {
            let pattern = format!(r"\A(?:{})\z", std::str::from_utf8(other).unwrap());
            regex::Regex::new(&pattern).unwrap().is_match(&String::from_utf8_lossy(value))
        }
        Op::Pmatch => path_prefix(value, other),
        op => super::order(op, value.iter().cmp(other.iter())),
    }
}

fn starts(value: &[u8], prefix: &[u8]) -> bool {
    prefix.iter().enumerate().all(|(n, byte)| value.get(n) == Some(byte))
}

fn contains(value: &[u8], needle: &[u8]) -> bool {
    (0..=value.len()).any(|from| starts(&value[from..], needle))
}

fn hex(digits: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from((byte as char).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

/// A decimal number with an optional sign.
pub fn number(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0i128;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    Some(if negative { -number } else { number })
}

/// `fnmatch(3)` without flags, or with the one that ignores case.
pub fn fnmatch(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let fold_one = |byte: u8| if fold { lower(byte) } else { byte };
    let literal = |byte: u8, rest: &[u8]| {
        text.first().is_some_and(|first| fold_one(*first) == fold_one(byte))
            && fnmatch(rest, &text[1..], fold)
    };
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skip| fnmatch(rest, &text[skip..], fold)),
        [b'?', rest @ ..] => !text.is_empty() && fnmatch(rest, &text[1..], fold),
        [b'\\', escaped, rest @ ..] => literal(*escaped, rest),
        [b'[', inside @ ..] => match brackets(inside) {
            Some((set, negated, rest)) => {
                let Some(first) = text.first() else { return false };
                let within = |byte: u8| set.iter().any(|(low, high)| *low <= byte && byte <= *high);
                let is_in = within(*first) || fold && (within(lower(*first)) || within(upper(*first)));
                is_in != negated && fnmatch(rest, &text[1..], fold)
            }
            None => literal(b'[', inside),
        },
        [byte, rest @ ..] => literal(*byte, rest),
    }
}

/// First and last byte of each range of a bracket expression.
type Ranges = Vec<(u8, u8)>;

/// A bracket expression after its `[`: ranges, whether it is negated, what comes after it. `None` when it is not closed.
fn brackets(mut rest: &[u8]) -> Option<(Ranges, bool, &[u8])> {
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    if negated {
        rest = &rest[1..];
    }
    let mut set = Vec::new();
    let mut first = true;
    loop {
        match rest {
            [] => return None,
            [b']', after @ ..] if !first => return Some((set, negated, after)),
            [b'[', b':', b'd', b'i', b'g', b'i', b't', b':', b']', after @ ..] => {
                set.push((b'0', b'9'));
                rest = after;
            }
            [b'[', b':', b'a', b'l', b'p', b'h', b'a', b':', b']', after @ ..] => {
                set.extend([(b'a', b'z'), (b'A', b'Z')]);
                rest = after;
            }
            _ => {
                let (low, after) = bracket_member(rest)?;
                rest = after;
                let mut high = low;
                if let [b'-', end, ..] = rest
                    && *end != b']'
                {
                    (high, rest) = bracket_member(&rest[1..])?;
                }
                set.push((low, high));
            }
        }
        first = false;
    }
}

fn bracket_member(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest {
        [b'\\', byte, after @ ..] | [byte, after @ ..] => Some((*byte, after)),
        [] => None,
    }
}

/// Whether the pattern is a prefix of the path, component by component; a component may hold wildcards.
fn path_prefix(path: &[u8], pattern: &[u8]) -> bool {
    let parts = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split(|b| *b == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let (path, pattern) = (parts(path), parts(pattern));
    pattern.len() <= path.len() && pattern.iter().zip(&path).all(|(want, have)| fnmatch(want, have, false))
}

/// Whether an address lies in the network `address/length`, compared bit by bit.
pub fn in_network(ip: IpAddr, network: &[u8]) -> bool {
    let text = std::str::from_utf8(network).unwrap();
    let (address, length) = text.split_once('/').unwrap();
    let (address, length): (IpAddr, usize) = (address.parse().unwrap(), length.parse().unwrap());
    let bits = |ip: IpAddr| -> Vec<bool> {
        let bytes = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
    };
    let (ip, address) = (bits(ip), bits(address));
    ip.len() == address.len() && ip[..length] == address[..length]
}

/// Decodes base64 with padding; `None` for anything else.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padding = text.iter().rev().take_while(|b| **b == b'=').count();
    // Padding may be left out; where there is some, it is all of it.
    let rest = (text.len() - padding) % 4;
    if rest == 1 || padding > 0 && (rest + padding != 4) {
        return None;
    }
    let mut bits = Vec::new();
    for byte in &text[..text.len() - padding] {
        let value = alphabet.iter().position(|letter| letter == byte)?;
        bits.extend((0..6).rev().map(|bit| value >> bit & 1));
    }
    let whole = bits.len() / 8 * 8;
    // Bits that belong to no byte must be zero.
    if bits[whole..].contains(&1) {
        return None;
    }
    Some(
        bits[..whole]
            .chunks(8)
            .map(|byte| byte.iter().fold(0, |n, bit| n * 2 + u8::try_from(*bit).unwrap()))
            .collect(),
    )
}

/// Options of a command line, each with its value if it takes one; `?` for an unknown one, no letter and an empty value
/// for one whose value is missing.
pub fn getopt(words: &[Vec<u8>], options: &[u8]) -> Vec<(Option<u8>, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut n = 0;
    while n < words.len() {
        let word = &words[n];
        n += 1;
        if word.len() > 2 && word[0] == b'-' && word[1] == b'-' {
            continue;
        }
        if word.len() < 2 || word[0] != b'-' || word == b"--" {
            break;
        }
        let mut at = 1;
        while at < word.len() {
            let letter = word[at];
            at += 1;
            let place = (0..options.len()).find(|i| options[*i] == letter && letter != b':');
            let Some(place) = place else {
                found.push((Some(b'?'), None));
                continue;
            };
            if options.get(place + 1) != Some(&b':') {
                found.push((Some(letter), None));
                continue;
            }
            let value = if at < word.len() {
                Some(word[at..].to_vec())
            } else {
                n += 1;
                words.get(n - 1).cloned()
            };
            found.push((value.is_some().then_some(letter), Some(value.unwrap_or_default())));
            break;
        }
    }
    found
}
