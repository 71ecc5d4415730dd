//! Numbers and addresses cut into pieces at every literal: the answer is the piece that a value lies in.

use std::net::IpAddr;

use super::answers::Answers;
use super::answers::FIRST;

/// Sorted first values of pieces; the piece before the first begins with the least value.
#[derive(Debug, Default)]
pub struct Cuts<T> {
    starts: Vec<T>,
    first: u32,
}

impl<T: Ord + Copy> Cuts<T> {
    /// Pieces that begin at each of `starts`, the first of them numbered `first`.
    pub fn new(mut starts: Vec<T>, first: u32) -> Self {
        starts.sort_unstable();
        starts.dedup();
        Self { starts, first }
    }

    /// Number behind that of the last piece.
    pub fn end(&self) -> u32 {
        self.first + 1 + u32::try_from(self.starts.len()).unwrap_or(u32::MAX - FIRST)
    }

    /// The piece of a value.
    #[inline]
    pub fn find(&self, value: T) -> u32 {
        let before = if self.starts.len() <= 8 {
            self.starts.iter().take_while(|start| **start <= value).count()
        } else {
            self.starts.partition_point(|start| *start <= value)
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are no more pieces than literals in rules"
        )]
        let before = before as u32;
        self.first + before
    }

    /// True when each of the pieces `from..to` is a single value that literals cut out.
    pub fn is_single(&self, from: u32, to: u32) -> bool
    where
        T: Into<i128>,
    {
        (from..to).all(|piece| {
            // Piece `first + n` begins with `starts[n - 1]` and ends before `starts[n]`.
            let at = (piece - self.first) as usize;
            let start = at.checked_sub(1).and_then(|at| self.starts.get(at));
            match (start, self.starts.get(at)) {
                (Some(start), Some(next)) => (*start).into().checked_add(1) == Some((*next).into()),
                _ => false,
            }
        })
    }

    /// Pieces from that of `from` to that of `to`, both included. The pieces must begin and end there.
    pub fn between(&self, from: T, to: T) -> (u32, u32) {
        (self.find(from), self.find(to) + 1)
    }
}

/// Addresses of both families.
#[derive(Debug)]
pub struct Addresses {
    four: Cuts<u32>,
    six: Cuts<u128>,
}

impl Addresses {
    /// For tests of these ranges of addresses, ends included.
    pub fn new(ranges: &[(IpAddr, IpAddr)]) -> Self {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        for range in ranges {
            match range {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    four.push(u32::from(*from));
                    four.extend(u32::from(*to).checked_add(1));
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    six.push(u128::from(*from));
                    six.extend(u128::from(*to).checked_add(1));
                }
                _ => {}
            }
        }
        let four = Cuts::new(four, FIRST);
        let six = Cuts::new(six, four.end());
        Self { four, six }
    }

    pub fn count(&self) -> u32 {
        self.six.end()
    }

    #[inline]
    pub fn find(&self, ip: IpAddr) -> u32 {
        match ip {
            IpAddr::V4(ip) => self.four.find(ip.into()),
            IpAddr::V6(ip) => self.six.find(ip.into()),
        }
    }

    /// The answers for addresses of these ranges.
    pub fn within(&self, ranges: &[(IpAddr, IpAddr)]) -> Answers {
        let pieces = ranges.iter().filter_map(|range| match range {
            (IpAddr::V4(from), IpAddr::V4(to)) => Some(self.four.between((*from).into(), (*to).into())),
            (IpAddr::V6(from), IpAddr::V6(to)) => Some(self.six.between((*from).into(), (*to).into())),
            _ => None,
        });
        Answers::new(pieces.collect())
    }

    /// True for a piece that a literal named, not a gap at one of the ends.
    pub fn is_end(&self, answer: u32) -> bool {
        [FIRST, self.four.end() - 1, self.four.end(), self.six.end() - 1].contains(&answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_the_ranges_they_lie_in() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let ranges: Vec<(IpAddr, IpAddr)> = [
            ("10.0.0.0", "10.255.255.255"),
            ("10.1.0.0", "10.1.0.255"),
            ("1.2.3.4", "1.2.3.4"),
            ("0.0.0.0", "255.255.255.255"),
            ("fe80::", "fe80::ffff"),
            ("255.255.255.255", "255.255.255.255"),
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ]
        .map(|(from, to)| (ip(from), ip(to)))
        .into();
        let addresses = Addresses::new(&ranges);
        for value in
            ["10.1.0.7", "10.2.0.0", "1.2.3.4", "9.9.9.9", "255.255.255.255", "fe80::1", "::1", "0.0.0.0"]
        {
            let value = ip(value);
            let answer = addresses.find(value);
            assert!((FIRST..addresses.count()).contains(&answer));
            for (from, to) in &ranges {
                let inside = *from <= value && value <= *to && from.is_ipv4() == value.is_ipv4();
                assert_eq!(addresses.within(&[(*from, *to)]).contains(answer), inside, "{value} {from}");
            }
        }
    }

    #[test]
    fn numbers_lie_in_their_pieces() {
        let cuts = Cuts::new(vec![0, 5, 6, -3], FIRST);
        for value in -5..9 {
            let answer = cuts.find(value);
            for (from, to) in [(0, 4), (5, 5), (-3, 5), (-3, -1)] {
                let (first, end) = cuts.between(from, to);
                assert_eq!(
                    (first..end).contains(&answer),
                    from <= value && value <= to,
                    "{value} {from} {to}"
                );
            }
        }
        assert_eq!(cuts.end(), FIRST + 5);
    }
}
