//! Durations as the Gateway API writes them: `1h30m`, `10s`, `500ms`.

/// What such a text looks like.
pub(super) const PATTERN: &str = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// Its length in milliseconds; `None` for anything else.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let (mut rest, mut total, mut parts) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        parts += 1;
        if digits == 0 || digits > 5 || parts > 4 {
            return None;
        }
        total += number.parse::<u64>().ok()? * scale;
        rest = tail;
    }
    (parts > 0).then_some(total)
}

/// The same the other way, in the fewest parts.
pub(super) fn text(mut milliseconds: u64) -> String {
    let mut text = String::new();
    for (scale, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
        if milliseconds >= scale {
            text.push_str(&format!("{}{unit}", milliseconds / scale));
            milliseconds %= scale;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_units() {
        for (text, want) in [
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("1m1s1ms", Some(61_001)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1d", None),
            ("123456s", None),
            ("1s1s1s1s1s", None),
            ("1s ", None),
        ] {
            assert_eq!(milliseconds(text), want, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0..360_000_000_u64) {
            proptest::prop_assert_eq!(milliseconds(&text(ms)), Some(ms));
        }

        #[test]
        fn no_text_is_a_panic(any: String) {
            let _ = milliseconds(&any);
        }
    }
}
