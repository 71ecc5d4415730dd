//! A path-compressed trie over whole words and prefixes of a string, or over suffixes when it reads from the end.

use super::answers::Answers;
use super::answers::{FIRST, OTHER};

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// The piece of text on the way to this node, in `Trie::text`.
    label: (u32, u32),
    /// Children stand one after the other, sorted by their first byte; the bytes in `Trie::firsts`.
    children: (u32, u32),
    /// The answer for a text that ends here, and for one that goes on where no child fits.
    exact: u32,
    prefix: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Trie {
    nodes: Vec<Node>,
    /// First byte of the label of the node with the same number.
    firsts: Vec<u8>,
    text: Vec<u8>,
    backwards: bool,
    /// Every text with its answers: for itself, and behind the last one that begins with it.
    known: Vec<(Box<[u8]>, u32, u32)>,
    pub count: u32,
}

impl Trie {
    /// A trie of texts, each with whether it is a prefix (or, read backwards, a suffix).
    pub fn new(texts: impl Iterator<Item = (Box<[u8]>, bool)>, backwards: bool) -> Self {
        let mut texts: Vec<(Box<[u8]>, bool)> = texts.collect();
        if backwards {
            for (text, _) in &mut texts {
                text.reverse();
            }
        }
        // In order, so that a text stands before those that begin with it; prefixes first among equals.
        texts.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        texts.dedup_by(|later, first| later.0 == first.0);
        let mut next = FIRST;
        let mut trie = Self {
            nodes: vec![Node { exact: OTHER, prefix: OTHER, ..Node::default() }],
            firsts: vec![0],
            text: Vec::new(),
            backwards,
            known: Vec::with_capacity(texts.len()),
            count: FIRST,
        };
        // Numbers in order; the end of a text's range is known when one comes that does not begin with it.
        let mut answers: Vec<(u32, u32)> = Vec::with_capacity(texts.len());
        let mut open: Vec<usize> = Vec::new();
        for (at, (text, is_prefix)) in texts.iter().enumerate() {
            while let Some(last) = open.last()
                && !text.starts_with(&texts[*last].0)
            {
                trie.known[*last].2 = next;
                open.pop();
            }
            let beyond = if *is_prefix { next + 1 } else { OTHER };
            answers.push((next, beyond));
            trie.known.push((text.clone(), next, 0));
            next += if *is_prefix { 2 } else { 1 };
            open.push(at);
        }
        for last in open {
            trie.known[last].2 = next;
        }
        trie.count = next;
        trie.build(&texts, &answers);
        trie
    }

    /// Makes the nodes, breadth first: `(node, texts below it, length of their common start)`.
    fn build(&mut self, texts: &[(Box<[u8]>, bool)], answers: &[(u32, u32)]) {
        let mut todo = std::collections::VecDeque::from([(0usize, 0..texts.len(), 0usize)]);
        while let Some((node, mut range, depth)) = todo.pop_front() {
            if let Some((text, is_prefix)) = texts.get(range.start)
                && !range.is_empty()
                && text.len() == depth
            {
                self.nodes[node].exact = answers[range.start].0;
                if *is_prefix {
                    self.nodes[node].prefix = answers[range.start].1;
                }
                range.start += 1;
            }
            let inherited = self.nodes[node].prefix;
            self.nodes[node].children.0 = number(self.nodes.len());
            let mut start = range.start;
            while start < range.end {
                let first = texts[start].0[depth];
                let end = start + texts[start..range.end].partition_point(|(text, _)| text[depth] <= first);
                // The longest start that all of them share: that of the first and the last.
                let (a, b) = (&texts[start].0[depth..], &texts[end - 1].0[depth..]);
                let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
                let mut label = a[..shared].to_vec();
                if self.backwards {
                    label.reverse();
                }
                let place = number(self.text.len());
                self.text.extend_from_slice(&label);
                todo.push_back((self.nodes.len(), start..end, depth + shared));
                self.nodes.push(Node {
                    label: (place, number(shared)),
                    children: (0, 0),
                    exact: inherited,
                    prefix: inherited,
                });
                self.firsts.push(first);
                self.nodes[node].children.1 += 1;
                start = end;
            }
        }
    }

    /// The answers for texts that begin with (end with) `text`, which is one of the trie's.
    pub fn beginning(&self, text: &[u8]) -> Answers {
        // Everything begins with nothing.
        if text.is_empty() {
            return Answers::range(OTHER, self.count);
        }
        self.known(text).map(|(from, to)| Answers::range(from, to)).unwrap_or_default()
    }

    /// The answer for exactly `text`.
    pub fn exactly(&self, text: &[u8]) -> Answers {
        self.known(text).map(|(from, _)| Answers::range(from, from + 1)).unwrap_or_default()
    }

    /// Forgets the texts: from now on values are looked up only.
    pub fn seal(&mut self) {
        self.known = Vec::new();
    }

    fn known(&self, text: &[u8]) -> Option<(u32, u32)> {
        let mut text: Box<[u8]> = text.into();
        if self.backwards {
            text.reverse();
        }
        let at = self.known.binary_search_by(|(known, _, _)| known.cmp(&text)).ok()?;
        Some((self.known[at].1, self.known[at].2))
    }

    /// The answer for a path, whose components count and not its slashes: as if one stood before and behind each.
    pub fn find_path(&self, path: &[u8]) -> u32 {
        let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let mut bytes =
            std::iter::once(b'/').chain(parts.flat_map(|part| part.iter().copied().chain([b'/'])));
        let mut node = &self.nodes[0];
        while let Some(byte) = bytes.next() {
            let from = node.children.0 as usize;
            let firsts = &self.firsts[from..from + node.children.1 as usize];
            let Ok(child) = firsts.binary_search(&byte) else { return node.prefix };
            let child = &self.nodes[from + child];
            let label = &self.text[child.label.0 as usize..][..child.label.1 as usize];
            if !label[1..].iter().all(|wanted| bytes.next() == Some(*wanted)) {
                return node.prefix;
            }
            node = child;
        }
        node.exact
    }

    /// The answer for a value.
    pub fn find(&self, value: &[u8]) -> u32 {
        if self.backwards { self.walk::<true>(value) } else { self.walk::<false>(value) }
    }

    #[inline]
    fn walk<const BACKWARDS: bool>(&self, mut rest: &[u8]) -> u32 {
        let mut node = &self.nodes[0];
        loop {
            let byte = if BACKWARDS { rest.last() } else { rest.first() };
            let Some(byte) = byte else { return node.exact };
            let (from, count) = (node.children.0 as usize, node.children.1 as usize);
            let firsts = &self.firsts[from..from + count];
            let child = if count <= 16 {
                firsts.iter().position(|first| first == byte)
            } else {
                firsts.binary_search(byte).ok()
            };
            let Some(child) = child else { return node.prefix };
            let child = &self.nodes[from + child];
            let label = &self.text[child.label.0 as usize..][..child.label.1 as usize];
            let left = if BACKWARDS { rest.strip_suffix(label) } else { rest.strip_prefix(label) };
            let Some(left) = left else { return node.prefix };
            rest = left;
            node = child;
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_prefixes_are_told_apart() {
        let words: &[&str] = &["/etc", "/etc/passwd", "/e", "/root/.ssh/id", ""];
        let prefixes: &[&str] = &["/etc", "/etc/ssh", "/root", "/e", "/etc/passwd", "/x"];
        let values = [
            "",
            "/",
            "/e",
            "/et",
            "/etc",
            "/etcx",
            "/etc/",
            "/etc/passwd",
            "/etc/passwd-",
            "/etc/ssh/x",
            "/root",
            "/root/.ssh/id",
            "/root/.ssh/idx",
            "/x",
            "y",
        ];
        let flip = |text: &str, backwards: bool| -> Box<[u8]> {
            let mut text: Box<[u8]> = text.as_bytes().into();
            if backwards {
                text.reverse();
            }
            text
        };
        for backwards in [false, true] {
            let texts = words.iter().map(|w| (flip(w, backwards), false));
            let texts = texts.chain(prefixes.iter().map(|p| (flip(p, backwards), true)));
            let trie = Trie::new(texts, backwards);
            for value in values {
                let answer = trie.find(&flip(value, backwards));
                assert!(answer < trie.count);
                for word in words {
                    assert_eq!(
                        trie.exactly(&flip(word, backwards)).contains(answer),
                        *word == value,
                        "{value} {word}"
                    );
                }
                for prefix in prefixes.iter().chain(&[""]) {
                    let holds = trie.beginning(&flip(prefix, backwards)).contains(answer);
                    assert_eq!(holds, value.starts_with(prefix), "{value} {prefix}");
                }
            }
        }
    }
}
