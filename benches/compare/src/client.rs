//! The client: requests over a fixed number of connections, each answer checked.
//!
//! **Closed loop**: the next request goes when an answer has come. It drives a proxy as fast as it goes, and its latencies
//! would hide stalls. **Open loop**: request *i* is due at `begin + i / rate` whatever became of the others, waits for a free
//! connection when there is none, and its latency counts from when it was due. So a stall of a second is a second's worth of
//! slow requests.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use hdrhistogram::Histogram;

use crate::load::Load;
use crate::poll::Poll;
use crate::wire::{Answered, Wire};

/// How long the client waits, once nothing more is due, while nothing at all comes.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest latency that is told apart, in nanoseconds.
const LONGEST: u64 = 100_000_000_000;

/// When requests go.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As soon as a connection is free.
    Closed,
    /// So many per second, evenly.
    Open(f64),
}

/// What became of a stretch.
#[derive(Debug)]
pub struct Outcome {
    /// Good answers; there are no others.
    pub good: u64,
    /// From the first request to the last answer.
    pub took: Duration,
    /// From when a request was due to the end of its answer, in nanoseconds.
    pub latency: Histogram<u64>,
}

impl Outcome {
    /// Good answers per second.
    pub fn per_second(&self) -> f64 {
        self.good as f64 / self.took.as_secs_f64()
    }

    /// A quantile of the latency, in microseconds.
    pub fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Open connections.
pub struct Client {
    at: SocketAddr,
    poll: Poll,
    lines: Vec<Line>,
    /// Lines by number, once for every request that they can take.
    free: VecDeque<usize>,
    slots: usize,
    buffer: Vec<u8>,
}

struct Line {
    stream: TcpStream,
    wire: Wire,
    out: Vec<u8>,
    blocked: bool,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(at: SocketAddr, load: Load) -> Result<Self> {
        let poll = Poll::new()?;
        let mut lines = Vec::new();
        for number in 0..load.connections {
            let stream = TcpStream::connect(at).with_context(|| format!("connection {number} to {at}"))?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            poll.add(&stream, u64::from(number))?;
            let mut out = Vec::new();
            let wire = Wire::open(load, at, &mut out);
            lines.push(Line { stream, wire, out, blocked: false });
        }
        let free = (0..load.streams).flat_map(|_| 0..lines.len()).collect();
        Ok(Self { at, poll, lines, free, slots: load.at_once(), buffer: vec![0; 256 * 1024] })
    }

    /// Asks for so long, then waits for what is under way.
    ///
    /// # Errors
    /// When an answer is wrong, a connection breaks, or answers do not come.
    pub fn run(&mut self, pace: Pace, length: Duration) -> Result<Outcome> {
        let (begin, mut answered) = (Instant::now(), Answered::new());
        let mut schedule = Schedule::new(pace, begin, begin + length);
        let mut latency = Histogram::new_with_bounds(1, LONGEST, 3)?;
        let mut last = schedule.end;
        loop {
            let now = Instant::now();
            while let Some(&line) = self.free.front() {
                let Some(due) = schedule.next(now) else { break };
                self.free.pop_front();
                self.lines[line].ask(due, &self.poll, line).with_context(|| self.name())?;
            }
            if schedule.over(now) && self.free.len() == self.slots {
                break;
            }
            if now > last + PATIENCE {
                bail!("{}: {} answers never came", self.at, self.slots - self.free.len());
            }
            for ready in self.poll.wait(Some(schedule.pause(now, !self.free.is_empty())))? {
                let number = usize::try_from(ready.number)?;
                let line = &mut self.lines[number];
                line.attend(ready.writable, &self.poll, number, &mut self.buffer, &mut answered)
                    .with_context(|| format!("the client of {}", self.at))?;
                let now = Instant::now();
                last = last.max(now);
                for due in answered.drain(..) {
                    let nanos = now.saturating_duration_since(due).as_nanos();
                    latency.saturating_record(u64::try_from(nanos).unwrap_or(LONGEST));
                    self.free.push_back(number);
                }
            }
        }
        Ok(Outcome { good: latency.len(), took: begin.elapsed(), latency })
    }

    /// One request on every connection, one after the other.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn each_once(&mut self) -> Result<()> {
        let (free, slots) = (std::mem::take(&mut self.free), std::mem::replace(&mut self.slots, 1));
        for line in 0..self.lines.len() {
            self.free = VecDeque::from([line]);
            // The first is due at the begin, and no second one before the end.
            self.run(Pace::Open(1.0), Duration::from_nanos(1))?;
        }
        (self.free, self.slots) = (free, slots);
        Ok(())
    }

    fn name(&self) -> String {
        format!("the client of {}", self.at)
    }
}

impl Line {
    fn ask(&mut self, due: Instant, poll: &Poll, number: usize) -> Result<()> {
        self.wire.ask(due, &mut self.out);
        self.flush(poll, number)
    }

    fn attend(
        &mut self,
        writable: bool,
        poll: &Poll,
        number: usize,
        buffer: &mut [u8],
        answered: &mut Answered,
    ) -> Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("the connection was closed"),
            Ok(n) => self.wire.take(&buffer[..n], &mut self.out, answered).map_err(|e| anyhow!(e))?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if writable || !self.out.is_empty() {
            self.flush(poll, number)?;
        }
        Ok(())
    }

    fn flush(&mut self, poll: &Poll, number: usize) -> Result<()> {
        match self.stream.write(&self.out) {
            Ok(n) => drop(self.out.drain(..n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if self.blocked == self.out.is_empty() {
            self.blocked = !self.out.is_empty();
            poll.want(&self.stream, number as u64, true, self.blocked)?;
        }
        Ok(())
    }
}

/// Which request is due when.
struct Schedule {
    pace: Pace,
    begin: Instant,
    end: Instant,
    asked: u64,
}

impl Schedule {
    fn new(pace: Pace, begin: Instant, end: Instant) -> Self {
        Self { pace, begin, end, asked: 0 }
    }

    /// When the next request was or is due; nothing when all have been asked.
    fn upcoming(&self, now: Instant) -> Option<Instant> {
        let due = match self.pace {
            Pace::Closed => now,
            Pace::Open(rate) => self.begin + Duration::from_secs_f64(self.asked as f64 / rate),
        };
        (due < self.end).then_some(due)
    }

    /// Takes the next request when it is due.
    fn next(&mut self, now: Instant) -> Option<Instant> {
        let due = self.upcoming(now).filter(|due| *due <= now)?;
        self.asked += 1;
        Some(due)
    }

    fn over(&self, now: Instant) -> bool {
        self.upcoming(now).is_none()
    }

    /// How long there is nothing to do unless an answer comes.
    fn pause(&self, now: Instant, free: bool) -> Duration {
        match self.upcoming(now) {
            Some(due) if free => due.saturating_duration_since(now),
            _ => Duration::from_millis(100),
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
