//! POSIX character classes of globs and regular expressions, over bytes.

/// Whether a byte is of a class.
pub type Class = fn(&u8) -> bool;

const CLASSES: [(&str, Class); 12] = [
    ("alnum", u8::is_ascii_alphanumeric),
    ("alpha", u8::is_ascii_alphabetic),
    ("blank", |byte| matches!(byte, b' ' | b'\t')),
    ("cntrl", u8::is_ascii_control),
    ("digit", u8::is_ascii_digit),
    ("graph", u8::is_ascii_graphic),
    ("lower", u8::is_ascii_lowercase),
    ("print", |byte| matches!(byte, b' '..=b'~')),
    ("punct", u8::is_ascii_punctuation),
    ("space", |byte| matches!(byte, b' ' | b'\t'..=b'\r')),
    ("upper", u8::is_ascii_uppercase),
    ("xdigit", u8::is_ascii_hexdigit),
];

/// The class with a name, e.g. `alpha` of `[:alpha:]`.
pub fn named(name: &[u8]) -> Option<Class> {
    CLASSES.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regex_library_means_the_same_by_each_name() {
        for (name, class) in CLASSES {
            let regex = regex::bytes::Regex::new(&format!(r"(?-u)\A[[:{name}:]]\z")).unwrap();
            for byte in 0..=u8::MAX {
                assert_eq!(class(&byte), regex.is_match(&[byte]), "{name} {byte:#04x}");
            }
        }
    }
}
