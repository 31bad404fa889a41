//! A switch between TAP devices with delay, jitter, loss and cuts per ordered pair of ports: the wide-area
//! network between the rig's clusters, for kernels without `tc netem`.
//!
//! `rig-wan LINKS PORT=NETNS_FILE...` opens one TAP per port, moves it into that network namespace as `eth0`
//! and forwards frames until it is killed. LINKS has a line `FROM TO DELAY_US JITTER_US LOSS_PPM CUT(0|1)` for
//! each ordered pair that is not ideal and is read again on SIGHUP. Frames of a pair are never reordered.
//! Address resolution is never lost or cut, because between regions there is none.
//!
//! ```text
//!  us-west-1 ─ TAP ─┐                      ┌─ TAP ─ us-east-1
//!                   ├─ one queue per pair ─┤
//!  operator  ─ TAP ─┘   (delay, loss, cut) └─ TAP ─ eu-west-1
//! ```
mod links;
mod tap;

use links::Link;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Frames waiting on one pair; past this the newest is dropped, as a router with a full queue does.
const QUEUE: usize = 65_536;
/// Frames read from one port before the others get their turn.
const BURST: usize = 256;
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
static RELOAD: AtomicBool = AtomicBool::new(true);

/// One ordered pair of ports: its properties and the frames on their way, each with the time it is due.
struct Wire {
    link: Link,
    queue: VecDeque<(Instant, Vec<u8>)>,
}

/// A port of the switch: a node's name and its TAP device.
pub struct Port {
    pub name: String,
    pub device: OwnedFd,
}

struct Switch {
    ports: Vec<Port>,
    /// Index `from * ports + to`.
    wires: Vec<Wire>,
    seen: HashMap<[u8; 6], usize>,
    random: u64,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let links = args.next().expect("usage: rig-wan LINKS PORT=NETNS_FILE...");
    let ports: Vec<Port> = args
        .map(|a| {
            let (name, netns) = a.split_once('=').expect("PORT=NETNS_FILE");
            Port { name: name.to_owned(), device: tap::open(name, netns) }
        })
        .collect();
    // SAFETY: the handler only stores to an atomic.
    unsafe { libc::signal(libc::SIGHUP, on_hangup as *const () as libc::sighandler_t) };
    println!("ready");
    Switch::new(ports).forward(&links);
}

extern "C" fn on_hangup(_: libc::c_int) {
    RELOAD.store(true, Ordering::Relaxed);
}

impl Switch {
    fn new(ports: Vec<Port>) -> Self {
        let pairs = ports.len() * ports.len();
        let wires = (0..pairs).map(|_| Wire { link: Link::default(), queue: VecDeque::new() }).collect();
        Self { ports, wires, seen: HashMap::new(), random: 0x9E37_79B9_7F4A_7C15 }
    }

    fn forward(mut self, links: &str) -> ! {
        let mut frame = vec![0_u8; 65_600];
        let mut polls: Vec<libc::pollfd> = self
            .ports
            .iter()
            .map(|p| libc::pollfd { fd: p.device.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        loop {
            if RELOAD.swap(false, Ordering::Relaxed) {
                self.configure(links);
            }
            wait(&mut polls, self.next_due());
            let now = Instant::now();
            for (from, poll) in polls.iter().enumerate() {
                if poll.revents & libc::POLLIN != 0 {
                    self.receive(from, &mut frame, now);
                }
            }
            self.deliver(now);
        }
    }

    fn configure(&mut self, path: &str) {
        let names: Vec<&str> = self.ports.iter().map(|p| p.name.as_str()).collect();
        let table = links::parse(&std::fs::read_to_string(path).unwrap_or_default(), &names);
        for (i, wire) in self.wires.iter_mut().enumerate() {
            wire.link = table.get(&i).copied().unwrap_or_default();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.wires.iter().filter_map(|w| w.queue.front().map(|f| f.0)).min()
    }

    fn receive(&mut self, from: usize, frame: &mut [u8], now: Instant) {
        for _ in 0..BURST {
            let Some(got) = tap::read(&self.ports[from].device, frame) else {
                return;
            };
            if got < 14 {
                continue;
            }
            self.switch(from, &frame[..got], now);
        }
    }

    /// Sends one frame towards the port behind its destination, or towards all of them.
    fn switch(&mut self, from: usize, bytes: &[u8], now: Instant) {
        let n = self.ports.len();
        self.seen.insert(bytes[6..12].try_into().expect("six bytes"), from);
        let target = self.seen.get(&bytes[..6]).copied().filter(|_| bytes[0] & 1 == 0);
        let always = bytes[12..14] == ETHERTYPE_ARP;
        for to in (0..n).filter(|&to| to != from && target.is_none_or(|t| t == to)) {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let dice = self.random >> 33;
            let wire = &mut self.wires[from * n + to];
            let lost = wire.link.cut || dice % 1_000_000 < wire.link.loss_ppm;
            if lost && !always || wire.queue.len() >= QUEUE {
                continue;
            }
            if wire.link.is_immediate() && wire.queue.is_empty() {
                tap::write(&self.ports[to].device, bytes);
                continue;
            }
            let due = now + wire.link.delay + wire.link.jitter(dice);
            let due = wire.queue.back().map_or(due, |last| last.0.max(due));
            wire.queue.push_back((due, bytes.to_vec()));
        }
    }

    fn deliver(&mut self, now: Instant) {
        let n = self.ports.len();
        for (i, wire) in self.wires.iter_mut().enumerate() {
            while wire.queue.front().is_some_and(|f| f.0 <= now) {
                let (_, bytes) = wire.queue.pop_front().expect("checked above");
                tap::write(&self.ports[i % n].device, &bytes);
            }
        }
    }
}

/// Sleeps until a frame arrives or one is due.
fn wait(polls: &mut [libc::pollfd], due: Option<Instant>) {
    let wait = due.map_or(Duration::from_millis(500), |t| t.saturating_duration_since(Instant::now()));
    let limit = libc::timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    // SAFETY: `polls` and `limit` live across the call, and the length is that of `polls`.
    unsafe { libc::ppoll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, &limit, std::ptr::null()) };
}
