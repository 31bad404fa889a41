//! The tables, as they are stored in `benches/runs`.

use std::fmt::Write as _;

use anyhow::Result;

use crate::load::Protocol;
use crate::rounds::{Findings, Row, Table};
use crate::{idle, latency, machine};

/// A floor that moves more than this between rounds tells of a noisy neighbour.
const DRIFT: f64 = 0.10;

/// Prints them, as Markdown.
pub fn print(findings: &Findings, configurations: bool) -> Result<()> {
    let mut out = String::new();
    writeln!(out, "{}\n", machine::description())?;
    for (name, version) in &findings.versions {
        writeln!(out, "- {name}: {version}")?;
    }
    for (protocol, (name, why)) in &findings.missing {
        writeln!(out, "- {name}, {}: no row: {why}", protocol.title())?;
    }
    for found in &findings.tables {
        table(&mut out, found)?;
    }
    for found in &findings.idle {
        memory(&mut out, found)?;
    }
    if configurations {
        writeln!(out, "\n### What they were told")?;
        for (protocol, name, text) in &findings.configurations {
            writeln!(out, "\n{name}, {}:\n\n```\n{}\n```", protocol.title(), text.trim())?;
        }
    }
    print!("{out}");
    Ok(())
}

/// What a table is about.
pub fn heading(table: &Table) -> String {
    let load = table.load;
    let streams = match (table.protocol, load.streams) {
        (Protocol::H2c | Protocol::Grpc, 2..) => format!(" × {} streams", load.streams),
        _ => String::new(),
    };
    let plural = if load.connections == 1 { "" } else { "s" };
    format!("{}, {} bytes, {} connection{plural}{streams}", table.protocol.title(), load.body, load.connections)
}

fn table(out: &mut String, table: &Table) -> Result<()> {
    writeln!(out, "\n### {}\n", heading(table))?;
    writeln!(out, "| Proxy | CPU µs a request | ÷ floor | requests/s |\n|---|---|---|---|")?;
    for row in &table.rows {
        writeln!(out, "{}", line(row))?;
    }
    if let Some(floor) = table.rows.first() {
        let rounds: Vec<String> = floor.micros.iter().map(|m| format!("{m:.1}")).collect();
        let noisy = if drift(&floor.micros) > DRIFT { ": **more than 10 % apart, so no claim**" } else { "" };
        writeln!(out, "\nFloor by round: {} µs{noisy}.", rounds.join(", "))?;
    }
    for row in &table.rows {
        if let Some((made, asked)) = row.reconnects {
            writeln!(out, "{}: {made} connections to the pod for {asked} requests, so not kept alive.", row.name)?;
        }
        if let Some(trouble) = &row.trouble {
            writeln!(out, "{}: {trouble}", row.name)?;
        }
    }
    table.latency.iter().try_for_each(|found| quantiles(out, found))
}

fn line(row: &Row) -> String {
    if row.micros.is_empty() {
        return format!("| {} | – | – | – |", row.name);
    }
    let (micros, ratio, rate) = (spread(&row.micros), spread(&row.ratios), spread(&row.rates));
    let ratio = match ratio {
        _ if row.ratios.is_empty() => "–".to_owned(),
        (least, middle, most) => format!("{middle:.2} ({least:.2}–{most:.2})"),
    };
    // Where the client is the limit, the proxy could have done more.
    let least = if row.full { "≥ " } else { "" };
    format!("| {} | {:.1} ({:.1}–{:.1}) | {ratio} | {least}{:.0} |", row.name, micros.1, micros.0, micros.2, rate.1)
}

fn quantiles(out: &mut String, table: &latency::Table) -> Result<()> {
    writeln!(out, "\nLatency, open loop at {:.0} requests/s ({} % of the slowest), µs:\n", table.rate, table.share)?;
    writeln!(out, "| Proxy | p50 | p99 | p50 − floor's | p99 − floor's |\n|---|---|---|---|---|")?;
    for row in &table.rows {
        let cell = |values: &[f64]| match spread(values) {
            _ if values.is_empty() => "–".to_owned(),
            (least, middle, most) => format!("{middle:.0} ({least:.0}–{most:.0})"),
        };
        let (through, added) = (&row.through, &row.added);
        let cells = [&through.p50, &through.p99, &added.p50, &added.p99].map(|values| cell(values));
        writeln!(out, "| {} | {} |", row.name, cells.join(" | "))?;
    }
    for row in &table.rows {
        if let Some(trouble) = &row.trouble {
            writeln!(out, "\n{}: {trouble}", row.name)?;
        }
    }
    Ok(())
}

fn memory(out: &mut String, table: &idle::Table) -> Result<()> {
    writeln!(out, "\n### {}, memory with {} idle connections\n", table.protocol.title(), table.connections)?;
    writeln!(out, "| Proxy | MiB without them | KiB for each |\n|---|---|---|")?;
    for (name, before, each) in &table.rows {
        writeln!(out, "| {name} | {:.1} | {:.2} |", *before as f64 / f64::from(1 << 20), each / 1024.0)?;
    }
    Ok(())
}

/// The middle of some values.
pub fn median(values: &[f64]) -> f64 {
    spread(values).1
}

/// How far the floor's rounds are apart, relative to the middle one.
fn drift(values: &[f64]) -> f64 {
    let (least, middle, most) = spread(values);
    (most - least) / middle
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
    use crate::load::{Load, Speech};

    #[test]
    fn the_middle_and_both_ends() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
        assert!(spread(&[]).1.is_nan());
    }

    #[test]
    fn a_floor_that_moves_is_told() {
        assert!(drift(&[10.0, 10.5, 10.9]) <= DRIFT);
        assert!(drift(&[10.0, 10.5, 11.2]) > DRIFT);
    }

    #[test]
    fn a_row_without_figures_stays_and_says_why() {
        let row = |name, micros: &[f64], trouble: Option<&str>| Row {
            name,
            micros: micros.to_vec(),
            rates: vec![1000.0; micros.len()],
            ratios: vec![1.0; micros.len()],
            full: name == "floor",
            reconnects: (name == "floor").then_some((50, 1000)),
            trouble: trouble.map(str::to_owned),
        };
        let rows = vec![row("floor", &[10.0, 12.0, 11.0], None), row("envoy", &[], Some("status line \"503\""))];
        let load = Load { speech: Speech::H2, body: 128, connections: 4, streams: 8 };
        let mut out = String::new();
        table(&mut out, &Table { protocol: Protocol::H2c, load, rows, latency: Vec::new() }).unwrap();
        for wanted in [
            "128 bytes, 4 connections × 8 streams",
            "| floor | 11.0 (10.0–12.0) | 1.00 (1.00–1.00) | ≥ 1000 |",
            "more than 10 % apart",
            "floor: 50 connections to the pod for 1000 requests",
            "| envoy | – | – | – |",
            "envoy: status line",
        ] {
            assert!(out.contains(wanted), "{wanted} is not in {out}");
        }
    }
}
