//! A simulator of the balancer: the product's routes, slots, picks and ticks in a played fleet, with seeds.
//!
//! `cargo run -p strait-proxy --example spill -- DIR` plays every scenario and writes its plots (SVG) and numbers (CSV)
//! into DIR. `cargo test -p strait-proxy --example spill` checks what the scenarios claim.

mod picture;
mod plot;
mod scenario;
mod sim;

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let into = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "benches/runs/spill".into()));
    if into.to_string_lossy().starts_with('-') {
        eprintln!("spill [DIR]: plays every scenario and writes its plots into DIR, by default benches/runs/spill");
        return Ok(());
    }
    std::fs::create_dir_all(&into)?;
    for (name, plot) in scenario::plots() {
        std::fs::write(into.join(format!("{name}.svg")), plot.svg())?;
        std::fs::write(into.join(format!("{name}.csv")), plot.csv())?;
        println!("{name}: {}", plot.title);
    }
    Ok(())
}
