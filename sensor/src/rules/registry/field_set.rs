//! Sets of fields.

use super::fields::Field;

const WORDS: usize = Field::ALL.len().div_ceil(64);

/// A set of fields, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldSet([u64; WORDS]);

impl FieldSet {
    /// No field.
    pub const NONE: Self = Self([0; WORDS]);

    /// Every field.
    pub const ALL: Self = {
        let (mut all, mut at) = (Self::NONE, 0);
        while at < Field::ALL.len() {
            all = all.with(Field::ALL[at]);
            at += 1;
        }
        all
    };

    /// The same, and `field`.
    #[must_use]
    pub const fn with(mut self, field: Field) -> Self {
        self.0[field as usize / 64] |= 1 << (field as usize % 64);
        self
    }

    /// The same, but for `field`.
    #[must_use]
    pub const fn without(mut self, field: Field) -> Self {
        self.0[field as usize / 64] &= !(1 << (field as usize % 64));
        self
    }

    /// The fields of either.
    #[must_use]
    pub const fn or(mut self, other: Self) -> Self {
        let mut word = 0;
        while word < WORDS {
            self.0[word] |= other.0[word];
            word += 1;
        }
        self
    }

    /// True when `field` is in it.
    pub const fn contains(&self, field: Field) -> bool {
        self.0[field as usize / 64] >> (field as usize % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_and_go_one_by_one() {
        for field in Field::ALL {
            assert!(FieldSet::ALL.contains(*field) && !FieldSet::NONE.contains(*field));
            assert_eq!(FieldSet::NONE.with(*field).without(*field), FieldSet::NONE);
            let but = FieldSet::ALL.without(*field);
            assert!(Field::ALL.iter().all(|other| but.contains(*other) == (other != field)));
        }
    }
}
