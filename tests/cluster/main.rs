//! Strait on three real clusters, as an operator installs it, under load, through one fault after the other.
//!
//! It drives `tests/rig` and the release binary and needs both; `cargo xtask test` starts everything in the right order.
//! README.md beside this file says what each step proves and how to run one alone.
//!
//! ```text
//!  install ─▶ join ─▶ CoreDNS ─▶ samples ─▶ clients ─▶ checks ─▶ faults under load ─▶ undo ─▶ table
//! ```
#![allow(missing_docs, unreachable_pub)]

mod bounds;
mod checks;
mod clients;
mod database;
mod evidence;
mod faults;
mod kill;
mod protocols;
mod rig;
mod setup;
mod steps;
mod stolen;
mod table;
mod undo;
mod wait;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clients::Starved;
use steps::{Again, Kind, Step};
use world::World;

/// Set by `cargo xtask test`: `off` to say nothing, `required` to fail without a rig.
const SWITCH: &str = "STRAIT_CLUSTER_TEST";

/// How often a step is tried that cannot be judged.
const ATTEMPTS: u32 = 3;

struct Options {
    full: bool,
    list: bool,
    filters: Vec<String>,
}

fn options() -> Options {
    let mut o = Options { full: false, list: false, filters: Vec::new() };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--full" => o.full = true,
            "--list" => o.list = true,
            // What a test harness is given by habit (--nocapture, --test-threads=1) changes nothing here.
            other if other.starts_with('-') => {}
            name => o.filters.push(name.to_owned()),
        }
    }
    o
}

fn main() -> ExitCode {
    let options = options();
    let steps = steps::all(options.full);
    if options.list {
        steps.iter().for_each(|s| println!("{}: test", s.name));
        return ExitCode::SUCCESS;
    }
    let switch = std::env::var(SWITCH).unwrap_or_default();
    if switch == "off" {
        return ExitCode::SUCCESS;
    }
    let rig = match rig::Rig::find() {
        Ok(rig) => rig,
        Err(reason) if switch == "required" => {
            println!("cluster tests cannot run: {reason:#}");
            return ExitCode::FAILURE;
        }
        Err(reason) => {
            println!("SKIP: cluster tests did not run: {reason:#}; `cargo xtask test` starts what they need");
            return ExitCode::SUCCESS;
        }
    };
    run(World::new(rig, options.full), &selected(steps, &options.filters))
}

/// Everything, or the steps whose name contains a filter and the setup that any of them needs.
fn selected(steps: Vec<Step>, filters: &[String]) -> Vec<Step> {
    let wanted =
        |s: &Step| s.kind == Kind::Setup || filters.is_empty() || filters.iter().any(|f| s.name.contains(f.as_str()));
    steps.into_iter().filter(wanted).collect()
}

fn run(mut world: World, steps: &[Step]) -> ExitCode {
    let (mut passed, mut failures) = (0, Vec::new());
    for (i, step) in steps.iter().enumerate() {
        println!("test {} ...", step.name);
        let begin = Instant::now();
        let result = judged(&mut world, step);
        let seconds = begin.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                println!("test {} ... ok ({seconds:.1} s)", step.name);
            }
            Err(e) => {
                println!("test {} ... FAILED ({seconds:.1} s): {e:#}", step.name);
                evidence::keep(&world, step.name);
                failures.push(step.name);
                if step.kind == Kind::Setup {
                    println!("nothing after {} can be tested; not run: {}", step.name, names(&steps[i + 1..]));
                    failures.extend(steps[i + 1..].iter().map(|s| s.name));
                    break;
                }
            }
        }
    }
    world.table.print();
    if !failures.is_empty() {
        println!(
            "failed: {}\nlogs and objects at the moment of failure: {}",
            failures.join(", "),
            evidence::folder(&world).display()
        );
    }
    println!("{passed} passed, {} failed", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a step, and again while this machine is too busy to judge, where that proves the same.
fn judged(world: &mut World, step: &Step) -> Result<()> {
    for _ in 1..ATTEMPTS {
        let Err(starved) = (step.run)(world) else { return Ok(()) };
        let restore = match step.again {
            Again::After(restore) if starved.is::<Starved>() => restore,
            _ => return Err(starved),
        };
        println!("test {} ... once more: {starved:#}", step.name);
        stolen::wait_for_calm();
        restore(world)?;
    }
    (step.run)(world)
}

fn names(steps: &[Step]) -> String {
    steps.iter().map(|s| s.name).collect::<Vec<_>>().join(", ")
}
