//! The services database of the host, `/etc/services`.

use std::collections::HashMap;
use std::io::Read;

/// The host's database.
const DATABASE: &str = "/etc/services";
/// It is not read further than this.
const LONGEST: u64 = 4 << 20;

/// Ports by the names of their services; empty where there is no database.
pub fn read() -> HashMap<String, u16> {
    let mut text = Vec::new();
    let read = std::fs::File::open(DATABASE).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
    match read {
        Ok(_) => services(&String::from_utf8_lossy(&text)),
        Err(_) => HashMap::new(),
    }
}

/// The names of a database's text. The first line that has a name counts.
fn services(text: &str) -> HashMap<String, u16> {
    let mut found = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
        let Some(port) = port.split_once('/').and_then(|(port, _)| port.parse::<u16>().ok()) else {
            continue;
        };
        for name in std::iter::once(name).chain(words) {
            found.entry(name.to_owned()).or_insert(port);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_by_the_first_line_that_has_them() {
        let found = services(
            "# c\nssh 2222/tcp # moved\nssh 22/udp\nmine\t77/tcp  alias other\nbad x/tcp\nworse\n\n",
        );
        let get = |name: &str| found.get(name).copied();
        assert_eq!((get("ssh"), get("mine"), get("other")), (Some(2222), Some(77), Some(77)));
        assert_eq!((get("bad"), get("worse"), found.len()), (None, None, 4));
    }
}
