//! Values of fields that several look-ups need, extracted once per event. They live in memory that is used again for every
//! event, hence without the event's lifetime; [`Values::get`] gives it back to them.

use std::net::IpAddr;

use super::event::Value;

/// A value without its lifetime.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Missing,
    Str(usize, usize),
    Buf(usize, usize),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Ip(IpAddr),
}

/// Values of one event at a time, by number of the field.
#[derive(Debug, Default)]
pub struct Values {
    kept: Vec<(u32, Kept)>,
}

impl Values {
    /// Forgets everything and makes room for `fields` values. Stamps must differ from event to event from now on, and
    /// none may be 0.
    pub fn clear(&mut self, fields: usize) {
        self.kept.clear();
        self.kept.resize(fields, (0, Kept::Missing));
    }

    /// The value that was kept with this stamp, else what `extract` gives, kept for the next.
    ///
    /// # Safety
    ///
    /// All calls with one stamp must be about one event borrowed for `'e`, the calls lying within `'e`.
    #[inline]
    pub unsafe fn get<'e>(
        &mut self,
        field: u32,
        stamp: u32,
        extract: impl FnOnce() -> Option<Value<'e>>,
    ) -> Option<Value<'e>> {
        let slot = &mut self.kept[field as usize];
        if slot.0 != stamp {
            let value = extract();
            let keep = |bytes: &[u8]| (bytes.as_ptr().expose_provenance(), bytes.len());
            let kept = match value {
                None => Kept::Missing,
                Some(Value::Str(bytes)) => {
                    let (at, len) = keep(bytes);
                    Kept::Str(at, len)
                }
                Some(Value::Buf(bytes)) => {
                    let (at, len) = keep(bytes);
                    Kept::Buf(at, len)
                }
                Some(Value::Int(n)) => Kept::Int(n),
                Some(Value::Uint(n)) => Kept::Uint(n),
                Some(Value::Bool(b)) => Kept::Bool(b),
                Some(Value::Ip(ip)) => Kept::Ip(ip),
            };
            *slot = (stamp, kept);
            return value;
        }
        let bytes = |at: usize, len: usize| -> &'e [u8] {
            // SAFETY: a slice of this place and length with lifetime `'e` was put here under the same stamp, so for the
            // same event, whose borrow still lasts.
            unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(at), len) }
        };
        Some(match slot.1 {
            Kept::Missing => return None,
            Kept::Str(at, len) => Value::Str(bytes(at, len)),
            Kept::Buf(at, len) => Value::Buf(bytes(at, len)),
            Kept::Int(n) => Value::Int(n),
            Kept::Uint(n) => Value::Uint(n),
            Kept::Bool(b) => Value::Bool(b),
            Kept::Ip(ip) => Value::Ip(ip),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_extracted_once_per_stamp() {
        let mut values = Values::default();
        values.clear(2);
        let text = b"abc".to_vec();
        for stamp in [1, 2] {
            let mut extracted = 0;
            for _ in 0..3 {
                // SAFETY: `text` outlives the calls, and a stamp is used for it alone.
                let value = unsafe {
                    values.get(1, stamp, || {
                        extracted += 1;
                        Some(Value::Str(&text))
                    })
                };
                assert_eq!(value, Some(Value::Str(b"abc")));
                // SAFETY: as above.
                assert_eq!(unsafe { values.get(0, stamp, || None) }, None);
            }
            assert_eq!(extracted, 1);
        }
    }
}
