//! What breaks.

use super::super::Violation;
use super::super::source::KINDS;
use super::super::watch::Watches;
use super::{Event, World};
use crate::frame::{Body, Frame, Push, WireRecord};

impl World {
    /// One fault of those the scenario has, and the next later.
    pub(super) fn fault(&mut self) -> Result<(), Violation> {
        if self.truths.is_some() {
            return Ok(());
        }
        let next = self.rng.u64(100..1_200);
        self.schedule(next, Event::Fault);
        let f = self.scenario.faults;
        let menu = [f.cuts, f.partitions, f.restarts, f.lags, f.relists, f.liars, f.restores];
        let enabled: Vec<_> = (0..menu.len()).filter(|i| menu[*i]).collect();
        let n = self.rng.usize(0..self.nodes.len());
        match self.rng.choice(enabled) {
            Some(0) => self.cut(),
            Some(1) => self.partition(),
            Some(2) => self.kill(n),
            Some(3) => {
                let kind = KINDS[self.rng.usize(0..KINDS.len())];
                let lag = if self.rng.bool() { self.rng.u64(100..3_000) } else { 5 };
                self.nodes[n].watches.lag(kind, lag);
                self.plan_wake(n);
            }
            Some(4) => {
                let kind = KINDS[self.rng.usize(0..KINDS.len())];
                let outcome = self.nodes[n].relist(self.now, kind, &self.sources, &mut self.rng);
                self.upheld(n, outcome)?;
                self.settle(n)?;
            }
            Some(5) => self.lie(),
            // Rarely: each one lists everything anew.
            Some(6) if self.rng.u8(..) < 64 => self.restore(),
            _ => {}
        }
        Ok(())
    }

    /// A session breaks; each end learns it in its own time, one of them perhaps only by silence.
    fn cut(&mut self) {
        let wires: Vec<u64> = self.network.wires.keys().copied().collect();
        let Some(wire) = self.rng.choice(wires) else { return };
        self.outcome.cuts += 1;
        let deaf = self.rng.u8(0..6);
        for end in 0..2_u8 {
            if deaf != end {
                let delay = self.rng.u64(0..100);
                self.schedule(delay, Event::Hangup { wire, end: usize::from(end) });
            }
        }
    }

    /// Two clusters lose each other, in one direction or both.
    fn partition(&mut self) {
        let a = self.rng.usize(0..self.sources.len());
        let b = (a + self.rng.usize(1..self.sources.len())) % self.sources.len();
        self.network.block(a, b);
        if self.rng.bool() {
            self.network.block(b, a);
        }
        self.outcome.partitions += 1;
        let until = self.rng.u64(300..8_000);
        self.schedule(until, Event::Heal(a, b));
    }

    pub(super) fn heal(&mut self, a: usize, b: usize) {
        self.network.unblock(a, b);
        self.network.unblock(b, a);
        let held: Vec<_> = self
            .network
            .wires
            .iter()
            .flat_map(|(id, w)| (0..2).filter(|e| !w.ends[*e].held.is_empty()).map(|e| (*id, e)))
            .collect();
        for (wire, from) in held {
            let delay = self.rng.u64(0..200);
            self.schedule(delay, Event::Release { wire, from });
        }
    }

    /// A daemon dies. Its peers learn of it by a reset or by silence.
    fn kill(&mut self, n: usize) {
        if self.nodes[n].engine.is_none() {
            return;
        }
        self.outcome.restarts += 1;
        self.nodes[n].stop();
        let silent = self.rng.bool();
        for (wire, end) in self.network.of(n) {
            if let Some(w) = self.network.wires.get_mut(&wire) {
                w.ends[end].up = false;
            }
            if !silent {
                self.tell_hangup(wire, 1 - end);
            }
        }
        let back = self.rng.u64(200..3_000);
        self.schedule(back, Event::Return(n));
    }

    /// An API server comes back from a backup: its daemons list everything again, each in its own time.
    fn restore(&mut self) {
        let c = self.rng.usize(0..self.sources.len());
        self.sources[c].restore(&mut self.rng);
        self.outcome.restores += 1;
        for n in 0..self.nodes.len() {
            if self.nodes[n].cluster == c && self.nodes[n].engine.is_some() {
                self.nodes[n].watches = Watches::start(self.now, &mut self.rng);
                self.plan_wake(n);
            }
        }
    }

    /// A daemon with a good certificate speaks for somebody else.
    fn lie(&mut self) {
        let wires: Vec<u64> = self.network.wires.keys().copied().collect();
        let Some(wire) = self.rng.choice(wires) else { return };
        let from = self.rng.usize(0..2);
        let ends = &self.network.wires[&wire].ends;
        let (liar, victim) = (self.nodes[ends[from].daemon].cluster, self.nodes[ends[1 - from].daemon].cluster);
        let about = self.rng.usize(0..self.sources.len());
        if liar == victim || about == liar {
            return;
        }
        let records = self.sources[about].objects.values().take(3).map(|r| WireRecord {
            kind: r.key().kind.0,
            name: r.key().name.to_string(),
            epoch: 9,
            revision: 1_000_000,
            deleted: self.rng.bool(),
            value: r.wire().clone(),
        });
        let records = records.collect();
        let cluster = self.sources[about].cluster.to_string();
        self.outcome.lies += 1;
        self.send(wire, from, Frame::from(Body::Push(Push { cluster, records })));
    }
}
