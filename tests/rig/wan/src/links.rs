//! The properties of an ordered pair of ports, and the file they stand in.
use std::collections::HashMap;
use std::time::Duration;

/// What happens to a frame on its way from one port to another; the default is an ideal link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// One way.
    pub delay: Duration,
    /// Added to the delay, evenly between nothing and this, in microseconds.
    pub jitter_us: u64,
    /// Frames lost in a million.
    pub loss_ppm: u64,
    /// Everything is lost.
    pub cut: bool,
}

impl Link {
    /// Whether a frame need not wait at all.
    pub fn is_immediate(&self) -> bool {
        self.delay.is_zero() && self.jitter_us == 0
    }

    /// This frame's share of the jitter.
    pub fn jitter(&self, dice: u64) -> Duration {
        Duration::from_micros(if self.jitter_us == 0 { 0 } else { (dice >> 3) % self.jitter_us })
    }
}

/// Reads lines `FROM TO DELAY_US JITTER_US LOSS_PPM CUT`; the key is `from * names.len() + to`. A line that names an
/// unknown port is for a node that is not up, and a missing number is 0.
pub fn parse(text: &str, names: &[&str]) -> HashMap<usize, Link> {
    let index = |name: &str| names.iter().position(|n| *n == name);
    let mut table = HashMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ends = (words.first().and_then(|w| index(w)), words.get(1).and_then(|w| index(w)));
        let (Some(from), Some(to)) = ends else {
            continue;
        };
        let number = |k: usize| words.get(k).and_then(|w| w.parse::<u64>().ok()).unwrap_or(0);
        let link = Link {
            delay: Duration::from_micros(number(2)),
            jitter_us: number(3),
            loss_ppm: number(4),
            cut: number(5) == 1,
        };
        table.insert(from * names.len() + to, link);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_direction() {
        let table = parse("a b 32500 100 20000 0\nb a 1 0 0 1\na gone 1 1 1 1\n", &["a", "b"]);
        assert_eq!(table.len(), 2);
        assert_eq!(
            table[&1],
            Link { delay: Duration::from_micros(32_500), jitter_us: 100, loss_ppm: 20_000, cut: false }
        );
        assert!(table[&2].cut);
    }

    #[test]
    fn half_a_line_is_an_ideal_link() {
        assert_eq!(parse("a b", &["a", "b"])[&1], Link::default());
    }
}
