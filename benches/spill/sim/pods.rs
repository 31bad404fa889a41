//! Pods: a queue in order of arrival, and so many requests in work at once.

use std::collections::VecDeque;

use super::plan::PodPlan;

/// What becomes of a request that reaches a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It is answered in its turn.
    Answers,
    /// Nobody listens.
    Refuses,
    /// It is answered 500 at once.
    Errors,
}

/// An attempt that waits or is worked on: which exchange, and its which attempt.
pub(crate) type Job = (u64, u32);

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) behaviour: Behaviour,
    /// How many times slower than the plan says.
    pub(crate) slower: f64,
    /// Requests it was sent.
    pub(crate) taken: u32,
    waiting: VecDeque<Job>,
    working: Vec<Job>,
    /// Grows when the pod dies: what it was working on then never ends.
    pub(crate) life: u32,
}

impl Pod {
    pub(crate) const fn new() -> Self {
        Self {
            behaviour: Behaviour::Answers,
            slower: 1.0,
            taken: 0,
            waiting: VecDeque::new(),
            working: Vec::new(),
            life: 0,
        }
    }

    /// Takes a request: true when work on it begins at once.
    pub(crate) fn take(&mut self, job: Job, plan: PodPlan) -> bool {
        let begins = self.working.len() < plan.concurrency;
        if begins {
            self.working.push(job);
        } else {
            self.waiting.push_back(job);
        }
        begins
    }

    /// One is done; the next in the queue begins.
    pub(crate) fn done(&mut self, job: Job) -> Option<Job> {
        self.working.retain(|j| *j != job);
        let next = self.waiting.pop_front()?;
        self.working.push(next);
        Some(next)
    }

    /// The pod's process ends: everything on it breaks.
    pub(crate) fn die(&mut self) -> Vec<Job> {
        self.life += 1;
        self.behaviour = Behaviour::Refuses;
        self.working.drain(..).chain(self.waiting.drain(..)).collect()
    }

    /// Requests that wait or are worked on.
    pub(crate) fn held(&self) -> usize {
        self.waiting.len() + self.working.len()
    }

    /// A time of work, in microseconds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds of a simulation")]
    pub(crate) fn time_us(&self, plan: PodPlan, rng: &mut fastrand::Rng) -> u64 {
        let mean_us = plan.mean_ms * 1_000.0 * self.slower;
        let stages: f64 = (0..plan.shape).map(|_| -(1.0 - rng.f64()).ln()).sum();
        (mean_us * stages / f64::from(plan.shape)).max(1.0) as u64
    }
}
