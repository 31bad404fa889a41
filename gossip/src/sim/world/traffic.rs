//! Sessions: dialling, frames on their way, ends.

use bytes::BytesMut;
use prost::Message;

use super::super::Violation;
use super::super::network::{end_of, session};
use super::{Event, World};
use crate::config::Member;
use crate::engine::{PeerInfo, SessionId};
use crate::frame::Frame;
use crate::status::Direction;
use crate::topology;

impl World {
    /// The clusters of both ends, the given one first.
    fn clusters(&self, wire: u64, end: usize) -> Option<(usize, usize)> {
        let ends = &self.network.wires.get(&wire)?.ends;
        Some((self.nodes[ends[end].daemon].cluster, self.nodes[ends[1 - end].daemon].cluster))
    }

    pub(super) fn pump(&mut self, n: usize) {
        for (wire, end) in self.network.of(n) {
            while self.network.wires.get(&wire).is_some_and(|w| w.room(end)) {
                let Some(engine) = &mut self.nodes[n].engine else { return };
                let Some(frame) = engine.poll_send(self.now, session(wire, end)) else { break };
                self.send(wire, end, frame);
            }
        }
    }

    pub(super) fn send(&mut self, wire: u64, from: usize, frame: Frame) {
        let Some((here, there)) = self.clusters(wire, from) else { return };
        let delay = self.network.delay(here == there, &mut self.rng);
        let Some(w) = self.network.wires.get_mut(&wire) else { return };
        let at = (self.now + delay).max(w.ends[from].not_before);
        w.ends[from].not_before = at;
        w.ends[from].in_flight += 1;
        self.schedule(at - self.now, Event::Frame { wire, from, frame });
    }

    pub(super) fn arrive(&mut self, wire: u64, from: usize, frame: Frame) -> Result<(), Violation> {
        let Some((here, there)) = self.clusters(wire, from) else { return Ok(()) };
        let passes = self.network.passes(here, there);
        let Some(w) = self.network.wires.get_mut(&wire) else { return Ok(()) };
        if !passes || !w.ends[from].held.is_empty() {
            w.ends[from].held.push_back(frame);
            return Ok(());
        }
        self.deliver(wire, from, frame)
    }

    fn deliver(&mut self, wire: u64, from: usize, frame: Frame) -> Result<(), Violation> {
        let (now, to) = (self.now, 1 - from);
        let Some(w) = self.network.wires.get_mut(&wire) else { return Ok(()) };
        w.ends[from].in_flight = w.ends[from].in_flight.saturating_sub(1);
        let (sender, receiver) = (w.ends[from].daemon, w.ends[to].daemon);
        if !w.ends[to].up {
            // Nobody listens there any more: a reset comes back.
            self.tell_hangup(wire, from);
            return Ok(());
        }
        self.outcome.frames += 1;
        self.trace([now, wire * 2 + from as u64, frame.encoded_len() as u64]);
        let frame = if self.outcome.frames.is_multiple_of(8) { recoded(&frame) } else { frame };
        let outcome = self.nodes[receiver].frame(now, session(wire, to), frame, &self.sources);
        self.upheld(receiver, outcome)?;
        self.settle(receiver)?;
        self.settle(sender)
    }

    /// Lets go what a partition held back on one direction of a wire.
    pub(super) fn release(&mut self, wire: u64, from: usize) -> Result<(), Violation> {
        let Some((here, there)) = self.clusters(wire, from) else { return Ok(()) };
        while self.network.passes(here, there) {
            let held = self.network.wires.get_mut(&wire).and_then(|w| w.ends[from].held.pop_front());
            match held {
                Some(frame) => self.deliver(wire, from, frame)?,
                None => break,
            }
        }
        Ok(())
    }

    /// An engine gave a session up.
    pub(super) fn close(&mut self, id: SessionId) {
        let (wire, end) = end_of(id);
        if let Some(w) = self.network.wires.get_mut(&wire) {
            w.ends[end].up = false;
            self.tell_hangup(wire, 1 - end);
        }
        self.network.sweep(wire);
    }

    /// The end learns of the other's end, if the path lets the news through; else its own silence tells it.
    pub(super) fn tell_hangup(&mut self, wire: u64, end: usize) {
        let Some((here, there)) = self.clusters(wire, end) else { return };
        if self.network.passes(there, here) {
            let delay = self.network.delay(here == there, &mut self.rng);
            self.schedule(delay, Event::Hangup { wire, end });
        }
    }

    pub(super) fn hangup(&mut self, wire: u64, end: usize) -> Result<(), Violation> {
        let Some(w) = self.network.wires.get_mut(&wire) else { return Ok(()) };
        let n = w.ends[end].daemon;
        if w.ends[end].up {
            w.ends[end].up = false;
            if let Some(engine) = &mut self.nodes[n].engine {
                engine.session_down(session(wire, end));
            }
        }
        self.network.sweep(wire);
        self.settle(n)
    }

    /// Opens the sessions that the plan wants and closes the ones that it does not.
    pub(super) fn dial(&mut self, n: usize, incarnation: u32) -> Result<(), Violation> {
        if self.nodes[n].engine.is_none() || self.nodes[n].incarnation != incarnation {
            return Ok(());
        }
        let again = self.rng.u64(200..1_000);
        self.schedule(again, Event::Dial(n, incarnation));
        let here = self.nodes[n].cluster;
        let members: Vec<Member> = self
            .nodes
            .iter()
            .filter(|m| m.cluster == here)
            .map(|m| Member { id: m.id.clone(), address: ([127, 0, 0, 1], 1).into(), ready: m.engine.is_some() })
            .collect();
        let clusters: Vec<_> = self.sources.iter().map(|s| s.cluster.clone()).collect();
        let plan = topology::plan(&self.nodes[n].id, false, &clusters[here], &clusters, &members);
        let dialled: Vec<(u64, usize)> = self.network.of(n).into_iter().filter(|(_, end)| *end == 0).collect();
        let mut targets = Vec::new();
        for (c, cluster) in clusters.iter().enumerate() {
            if plan.remotes.contains(cluster) {
                let there: Vec<_> = (0..self.nodes.len()).filter(|m| self.nodes[*m].cluster == c).collect();
                targets.push(there);
            }
        }
        for sibling in &plan.siblings {
            targets.extend(self.nodes.iter().position(|m| m.id == sibling.id).map(|m| vec![m]));
        }
        let other = |wire: u64| self.network.wires.get(&wire).map(|w| w.ends[1].daemon);
        let unwanted: Vec<_> = dialled
            .iter()
            .filter(|(wire, _)| other(*wire).is_none_or(|o| !targets.iter().any(|t| t.contains(&o))))
            .map(|(wire, _)| *wire)
            .collect();
        let missing: Vec<_> = targets
            .into_iter()
            .filter(|t| !dialled.iter().any(|(wire, _)| other(*wire).is_some_and(|o| t.contains(&o))))
            .collect();
        for wire in unwanted {
            if let Some(engine) = &mut self.nodes[n].engine {
                engine.session_down(session(wire, 0));
            }
            self.close(session(wire, 0));
        }
        for target in missing {
            self.connect(n, &target)?;
        }
        self.settle(n)
    }

    /// Reaches any daemon of the target's, if one lives and the path is open.
    fn connect(&mut self, n: usize, target: &[usize]) -> Result<(), Violation> {
        let Some(to) = self.rng.choice(target.iter().copied()) else { return Ok(()) };
        let (here, there) = (self.nodes[n].cluster, self.nodes[to].cluster);
        let open = self.network.passes(here, there) && self.network.passes(there, here);
        if !open || self.nodes[to].engine.is_none() {
            return Ok(());
        }
        let wire = self.network.connect(n, to, self.now);
        self.outcome.sessions += 1;
        for (end, node, peer, direction) in [(0, n, there, Direction::Dialled), (1, to, here, Direction::Accepted)] {
            let cluster = self.sources[peer].cluster.clone();
            if let Some(engine) = &mut self.nodes[node].engine {
                engine.session_up(self.now, session(wire, end), PeerInfo { cluster, direction });
            }
        }
        self.settle(to)
    }
}

/// Through the codec and back.
fn recoded(frame: &Frame) -> Frame {
    let mut buffer = BytesMut::from(&frame.to_wire()[..]);
    Frame::take(&mut buffer).ok().flatten().expect("own frames decode")
}
