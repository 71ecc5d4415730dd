//! Times and spans of time as people write them: `2h`, `1d12h`, `now`, `2026-11-24`, RFC 3339.

use jiff::Timestamp;

/// Units of a span, longest name first so that `ms` is not read as minutes.
const UNITS: [(&str, i64); 7] = [
    ("ms", 1_000_000),
    ("us", 1_000),
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

/// A span such as `90s`, `2h`, `1d12h` or `2w`, in nanoseconds; `None` when it is none or does not fit.
pub fn span(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let (unit, scale) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(*scale)?)?;
        rest = tail.get(unit.len()..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// A point in time, in nanoseconds since the Unix epoch: a span before `now`, `now`, a UTC day, or RFC 3339.
pub fn point(text: &str, now: i64) -> Option<i64> {
    if text == "now" {
        return Some(now);
    }
    if let Some(span) = span(text) {
        return now.checked_sub(span);
    }
    let is_day = text.len() == 10;
    let time: Timestamp = if is_day { format!("{text}T00:00:00Z").parse() } else { text.parse() }.ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(span("90s"), Some(90_000_000_000));
        assert_eq!(span("1d12h"), Some(36 * 3_600_000_000_000));
        assert_eq!(span("500ms"), Some(500_000_000));
        for bad in ["", "2", "h", "2x", "-2h", "99999999999w", "2h "] {
            assert_eq!(span(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn points() {
        let now = 1_763_994_162_000_000_000;
        assert_eq!(point("1s", now), Some(now - 1_000_000_000));
        assert_eq!(point("2025-11-24T14:22:42Z", now), Some(now));
        assert_eq!(point("2025-11-24T16:22:42+02:00", now), Some(now));
        assert_eq!(point("2025-11-24", now), Some(1_763_942_400_000_000_000));
        for bad in ["yesterday", "2025-11-24T14:22:42", "2025-13-01", "9999-01-01T00:00:00Z"] {
            assert_eq!(point(bad, now), None, "{bad:?}");
        }
    }
}
