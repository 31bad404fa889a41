//! The tables, as they are stored in `benches/runs`.

use std::fmt::Write as _;

use anyhow::Result;

use crate::rounds::{Row, Table};

/// Prints them, as Markdown.
pub fn print(tables: &[Table]) -> Result<()> {
    println!("{}", render(tables)?);
    Ok(())
}

fn render(tables: &[Table]) -> Result<String> {
    let mut out = String::new();
    for row in tables.first().into_iter().flat_map(|t| &t.rows) {
        writeln!(out, "- {}: {}", row.name, row.version)?;
    }
    for table in tables {
        writeln!(out, "\n### {} bytes, {} connections\n", table.body, table.connections)?;
        writeln!(out, "| Proxy | CPU µs a request | ÷ floor | requests/s |\n|---|---|---|---|")?;
        for row in &table.rows {
            writeln!(out, "{}", line(row))?;
        }
    }
    Ok(out)
}

fn line(row: &Row) -> String {
    let (micros, ratio, rate) = (spread(&row.micros), spread(&row.ratios), spread(&row.rates));
    format!(
        "| {} | {:.1} ({:.1}–{:.1}) | {:.2} ({:.2}–{:.2}) | {:.0} |",
        row.name, micros.1, micros.0, micros.2, ratio.1, ratio.0, ratio.2, rate.1
    )
}

/// Minimum, median, maximum.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_both_ends() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
        assert!(spread(&[]).1.is_nan());
    }
}
