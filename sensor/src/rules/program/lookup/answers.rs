//! Sets of a look-up's answers. Answers are numbered so that what belongs together stands together, hence a set is a few
//! ranges, and `and`, `or` and `not` of tests of one look-up are again one set.

/// The field has no value. Of a look-up with several answers: there is some value.
pub const ABSENT: u32 = 0;
/// The value is of another type than the tests are about.
pub const WRONG: u32 = 1;
/// The value is none that a test names.
pub const OTHER: u32 = 2;
/// The first answer that a test names.
pub const FIRST: u32 = 3;

/// A set of answers: sorted, disjoint, non-adjacent, half-open ranges.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Answers(Vec<(u32, u32)>);

impl Answers {
    /// The set of these ranges, in any order.
    pub fn new(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.retain(|(from, to)| from < to);
        ranges.sort_unstable();
        let mut set: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match set.last_mut() {
                Some(last) if last.1 >= from => last.1 = last.1.max(to),
                _ => set.push((from, to)),
            }
        }
        Self(set)
    }

    /// The set of one range.
    pub fn range(from: u32, to: u32) -> Self {
        Self::new(vec![(from, to)])
    }

    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when the set has every answer below `count`.
    pub fn is_all(&self, count: u32) -> bool {
        self.0 == [(0, count)]
    }

    /// The answers that are in one of the sets at least.
    pub fn in_any(sets: &[Self]) -> Self {
        Self::new(sets.iter().flat_map(|set| &set.0).copied().collect())
    }

    /// The answers that are in each of the sets.
    pub fn in_all(sets: &[Self]) -> Self {
        let Some((first, others)) = sets.split_first() else { return Self::default() };
        others.iter().fold(first.clone(), |both, set| both.intersection(set))
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (from, to) = (x.0.max(y.0), x.1.min(y.1));
            if from < to {
                both.push((from, to));
            }
            if x.1 < y.1 {
                a.next()
            } else {
                b.next()
            };
        }
        Self(both)
    }

    /// The answers in `from..to` that are not in the set.
    pub fn complement(&self, from: u32, to: u32) -> Self {
        let mut at = from;
        let mut rest = Vec::new();
        for (start, end) in &self.0 {
            if *start >= to {
                break;
            }
            if at < *start {
                rest.push((at, *start));
            }
            at = at.max(*end);
        }
        if at < to {
            rest.push((at, to));
        }
        Self(rest)
    }
}

#[cfg(test)]
impl Answers {
    pub fn contains(&self, answer: u32) -> bool {
        holds(&self.0, answer)
    }
}

/// Whether one of the sorted ranges has the answer.
#[inline]
pub fn holds(ranges: &[(u32, u32)], answer: u32) -> bool {
    if let [(from, to)] = ranges {
        return *from <= answer && answer < *to;
    }
    // The first range that ends behind the answer.
    let at = ranges.partition_point(|(_, to)| *to <= answer);
    ranges.get(at).is_some_and(|(from, _)| *from <= answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_what_their_members_say() {
        let make = |bits: u32| {
            Answers::new((0..10).filter(|bit| bits >> bit & 1 == 1).map(|bit| (bit, bit + 1)).collect())
        };
        for (a, b) in (0..1024).step_by(7).zip((0..1024).step_by(5)) {
            let (x, y) = (make(a), make(b));
            assert_eq!(Answers::in_any(&[x.clone(), y.clone()]), make(a | b));
            assert_eq!(x.intersection(&y), make(a & b));
            assert_eq!(x.complement(0, 10), make(!a & 1023));
            assert_eq!(x.complement(3, 7), make(!a & 0b111_1000));
            assert_eq!(x.is_empty(), a == 0);
            assert!((0..10).all(|bit| x.contains(bit) == (a >> bit & 1 == 1)));
        }
        assert!(make(1023).is_all(10) && !make(511).is_all(10));
    }
}
