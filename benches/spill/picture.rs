//! From samples to the panels of a plot.

use crate::plot::{Line, Panel};
use crate::sim::{Clients, Sample, percentile_of};

fn line(name: impl Into<String>, samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Line {
    Line { name: name.into(), values: samples.iter().map(value).collect() }
}

fn per_second(samples: &[Sample]) -> f64 {
    match samples {
        [first, second, ..] => 1.0 / (second.at_s - first.at_s),
        _ => 1.0,
    }
}

/// The shares that the daemons of cluster `of` give each cluster.
pub(crate) fn shares(samples: &[Sample], names: &[&str], of: usize) -> Panel {
    let lines = names.iter().enumerate();
    let lines = lines.map(|(at, name)| line(*name, samples, move |s| 100.0 * s.clients[of].shares[at]));
    Panel { axis: format!("share of {}'s requests, %", names[of]), at_least: 100.0, lines: lines.collect() }
}

/// How many requests a pod holds, on average over the pods that are up.
#[expect(clippy::cast_precision_loss, reason = "counts of a simulation")]
pub(crate) fn held(samples: &[Sample], names: &[&str]) -> Panel {
    let mean = |s: &Sample, at: usize| match s.pods[at].up {
        0 => f64::NAN,
        up => s.pods[at].held as f64 / up as f64,
    };
    let lines = names.iter().enumerate().map(|(at, name)| line(*name, samples, move |s| mean(s, at)));
    Panel { axis: "requests held by a pod".into(), at_least: 4.0, lines: lines.collect() }
}

/// Good answers a second that each cluster's pods give.
pub(crate) fn answers(samples: &[Sample], names: &[&str]) -> Panel {
    let times = per_second(samples);
    let lines = names.iter().enumerate();
    let lines = lines.map(|(at, name)| line(*name, samples, move |s| f64::from(s.pods[at].answers) * times));
    Panel { axis: "good answers a second".into(), at_least: 1.0, lines: lines.collect() }
}

/// How long the clients of a cluster wait for a good answer.
pub(crate) fn waiting(samples: &[Sample], name: &str, of: usize) -> Panel {
    let at = |percentile: f64| {
        move |s: &Sample| {
            let waited = &s.clients[of].waited_ms;
            if waited.is_empty() { f64::NAN } else { percentile_of(waited.iter().copied(), percentile) }
        }
    };
    let lines = vec![line("median", samples, at(0.5)), line("99th percentile", samples, at(0.99))];
    Panel { axis: format!("wait of {name}'s clients, ms"), at_least: 100.0, lines }
}

/// Requests a second of all clients, by how they ended.
pub(crate) fn ends(samples: &[Sample]) -> Panel {
    let times = per_second(samples);
    let sum = |of: fn(&Clients) -> u32| move |s: &Sample| f64::from(s.clients.iter().map(of).sum::<u32>()) * times;
    let lines = vec![
        line("good answers", samples, sum(Clients::good)),
        line("clients gave up", samples, sum(|c| c.gave_up)),
        line("503: too much under way", samples, sum(|c| c.shed)),
        line("errors of pods", samples, sum(|c| c.errors)),
        line("not answered else", samples, sum(|c| c.lost)),
    ];
    Panel { axis: "requests a second, all clients".into(), at_least: 1.0, lines }
}
