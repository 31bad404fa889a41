//! What clients saw and what pods held, sample by sample.

use super::event::Lost;

/// One cluster's clients between two samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients {
    /// Good answers, by the cluster that gave them.
    pub(crate) served: Vec<u32>,
    /// Answers 500 of pods.
    pub(crate) errors: u32,
    /// Turned away with 503 because too much was under way.
    pub(crate) shed: u32,
    /// Not answered for any other reason.
    pub(crate) lost: u32,
    /// Clients whose patience ended.
    pub(crate) gave_up: u32,
    /// Time to each good answer, or to giving up, in milliseconds.
    pub(crate) waited_ms: Vec<f64>,
    /// Time to each 503, in milliseconds.
    pub(crate) shed_ms: Vec<f64>,
    /// The balancer's shares at the sample, by cluster.
    pub(crate) shares: Vec<f64>,
}

impl Clients {
    /// Good answers.
    pub(crate) fn good(&self) -> u32 {
        self.served.iter().sum()
    }

    /// Requests that ended in any other way.
    #[cfg(test)]
    pub(crate) const fn bad(&self) -> u32 {
        self.errors + self.shed + self.lost + self.gave_up
    }
}

/// One cluster's pods at a sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pods {
    /// Pods that accept requests.
    pub(crate) up: usize,
    /// Requests that wait or are worked on, of all of them.
    pub(crate) held: usize,
    /// Of the fullest.
    #[cfg_attr(not(test), expect(dead_code, reason = "for what tests claim"))]
    pub(crate) most: usize,
    /// Good answers they gave since the last sample, to whomever.
    pub(crate) answers: u32,
}

/// One sample.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Seconds since the start.
    pub(crate) at_s: f64,
    pub(crate) clients: Vec<Clients>,
    pub(crate) pods: Vec<Pods>,
    /// Requests that each pod of each cluster was sent since the start.
    pub(crate) taken: Vec<Vec<u32>>,
}

/// The sample that is being filled, and those before.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    current: Vec<Clients>,
    pub(crate) samples: Vec<Sample>,
}

impl Tally {
    pub(crate) fn new(clusters: usize) -> Self {
        Self { current: Self::empty(clusters), samples: Vec::new() }
    }

    fn empty(clusters: usize) -> Vec<Clients> {
        vec![Clients { served: vec![0; clusters], ..Clients::default() }; clusters]
    }

    pub(super) fn answered(&mut self, clients: usize, by: usize, good: bool, waited_ms: f64) {
        let clients = &mut self.current[clients];
        if good {
            clients.served[by] += 1;
            clients.waited_ms.push(waited_ms);
        } else {
            clients.errors += 1;
        }
    }

    pub(super) fn lost(&mut self, clients: usize, lost: Lost, waited_ms: f64) {
        let clients = &mut self.current[clients];
        if lost == Lost::Overloaded {
            clients.shed += 1;
            clients.shed_ms.push(waited_ms);
        } else {
            clients.lost += 1;
        }
    }

    pub(super) fn gave_up(&mut self, clients: usize, waited_ms: f64) {
        let clients = &mut self.current[clients];
        clients.gave_up += 1;
        clients.waited_ms.push(waited_ms);
    }

    /// Closes the sample.
    pub(super) fn sample(&mut self, at_s: f64, shares: Vec<Vec<f64>>, mut pods: Vec<Pods>, taken: Vec<Vec<u32>>) {
        let mut clients = std::mem::replace(&mut self.current, Self::empty(pods.len()));
        for (at, there) in pods.iter_mut().enumerate() {
            there.answers = clients.iter().map(|c| c.served[at]).sum();
        }
        for (clients, shares) in clients.iter_mut().zip(shares) {
            clients.shares = shares;
        }
        self.samples.push(Sample { at_s, clients, pods, taken });
    }
}

/// A percentile (0–1) of some values; 0 of none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a position")]
pub(crate) fn percentile_of(values: impl Iterator<Item = f64>, percentile: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * percentile) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
