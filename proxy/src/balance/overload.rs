//! How much the own endpoints may have in flight when they are overloaded.
//!
//! Nobody tells how many requests an endpoint can bear, nor how long clients wait. What is seen is that clients leave
//! before they are answered. Endpoints that work in the order of arrival then spend themselves on requests that nobody
//! waits for any more, and good answers fall to nothing although everything is busy. So when a twentieth of the clients
//! leaves *and* answers take twice as long as they do in good times, nothing more is let in until what is there is
//! worked off, and from then on a quarter of what was in flight.
//!
//! ```text
//! w = in flight, on average over the steps of a second ÷ answers a second         (Little's law)
//! overloaded: left > 5 % of those that ended in the last second, and w > 2 × the least w of late, and w > 20 ms
//! knee = in flight at that moment; for w, at most 5 s, only the floor; then limit = knee ÷ 4
//! floor = 2 × the most that was in flight of late while answers were not slow, one for each endpoint at least
//! while it is reached the limit rises by half a hundredth a second, by half when answers are not slow; it is halved
//! when clients leave again, and ends when it was not reached for 30 s
//! ```
//! So a moment in which a stalled machine makes clients leave costs next to nothing: what was borne before is let in all
//! the time, and soon everything.
//!
//! Each daemon limits what goes through it: many of them find their parts as senders on one network do.

/// Between two looks at what ended, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// Which part of the requests that ended has to be given up by their clients, and how many at least.
const LEAVING: f64 = 0.05;
const LEAVING_LEAST: u64 = 10;
/// How much slower than in good times.
const SLOWER: f64 = 2.0;
/// Nobody waits for what takes less than this, in milliseconds: clients that leave then leave for reasons of their own, as a
/// load generator does at the end of its run.
const SLOW_LEAST_MS: f64 = 20.0;
/// What is normal rises by an e-fold in this time, in milliseconds: what stays slow for minutes is how it is.
const NORMAL_MS: f64 = 300_000.0;
/// The part of the knee that is the limit: clients then wait for about a quarter of the time after which they leave.
const PART: f64 = 0.25;
/// Growth of the limit in a second, and when answers take no longer than in good times.
const GROWTH: f64 = 1.005;
const TOO_LOW: f64 = 1.5;
/// How much more than in good times is never too much.
const FLOOR: f64 = 2.0;
/// Longest pause after a cut, in milliseconds.
const LONGEST_PAUSE_MS: f64 = 5_000.0;
/// The part of the limit at which it counts as reached: the least urgent requests may use 76 % of it.
const REACHED: f64 = 0.75;
/// A limit that is not reached for so long is no longer needed, in milliseconds.
const UNUSED_MS: u64 = 30_000;

/// What is counted of the requests to the own endpoints through this daemon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Flow {
    /// In flight now.
    pub(super) held: f64,
    /// Good answers so far.
    pub(super) served: u64,
    /// Clients that left before an answer, so far.
    pub(super) left: u64,
    /// Ready endpoints.
    pub(super) ready: f64,
}

/// The limit, and what it is found by.
#[derive(Clone, Debug, Default)]
pub(super) struct Overload {
    looked: Option<(u64, Flow)>,
    /// When the last step was, in milliseconds.
    stepped_ms: u64,
    /// Requests in flight × milliseconds since the last look.
    waited: f64,
    /// The least time in flight of late, in milliseconds.
    normal_ms: Option<f64>,
    /// The most that was in flight of late while answers were not slow, on average over a second or at its end.
    borne: f64,
    limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// Requests in flight, after the pause.
    most: f64,
    /// Until then what was there at the cut is worked off, in milliseconds.
    pause_ms: u64,
    /// When it was last reached, in milliseconds.
    reached_ms: u64,
}

impl Overload {
    /// How much may be in flight from now on; `None` for any number.
    pub(super) fn step(&mut self, now_ms: u64, flow: Flow) -> Option<f64> {
        self.waited += flow.held * millis(now_ms.saturating_sub(self.stepped_ms));
        self.stepped_ms = now_ms;
        match self.looked {
            Some((at_ms, before)) if now_ms.saturating_sub(at_ms) >= LOOK_MS => {
                self.looked = Some((now_ms, flow));
                self.look(now_ms, now_ms - at_ms, before, flow);
                self.waited = 0.0;
            }
            Some(_) => {}
            None => {
                self.looked = Some((now_ms, flow));
                self.waited = 0.0;
            }
        }
        let floor = (FLOOR * self.borne).max(flow.ready).max(1.0);
        let limit = self.limit.as_mut()?;
        let most = if now_ms < limit.pause_ms { floor } else { limit.most.max(floor) };
        if flow.held >= REACHED * most {
            limit.reached_ms = now_ms;
        }
        Some(most)
    }

    fn look(&mut self, now_ms: u64, gone_ms: u64, before: Flow, flow: Flow) {
        // Counts begin anew when the own cluster leaves the route and comes back.
        let served = flow.served.saturating_sub(before.served);
        let left = flow.left.saturating_sub(before.left);
        let takes_ms = self.waited / millis(served);
        let slow = self.normal_ms.is_some_and(|normal| takes_ms > (SLOWER * normal).max(SLOW_LEAST_MS));
        if served > 0 && !slow {
            let faded = self.borne * (-millis(gone_ms) / NORMAL_MS).exp();
            self.borne = (self.waited / millis(gone_ms)).max(flow.held).max(faded);
        }
        if served > 0 {
            // In a quiet second hardly anything is seen in flight; then all of the second counts as spent on what it did.
            let takes_ms = self.waited.max(millis(gone_ms)) / millis(served);
            let risen = self.normal_ms.map_or(f64::INFINITY, |n| n * (millis(gone_ms) / NORMAL_MS).exp());
            self.normal_ms = Some(takes_ms.min(risen));
        }
        let leaving = left >= LEAVING_LEAST && millis(left) > LEAVING * millis(served + left);
        match &mut self.limit {
            // Those that leave just after the pause came before it.
            Some(limit) if now_ms < limit.pause_ms + 2 * LOOK_MS => {}
            Some(limit) if leaving && slow => *limit = Limit::new(limit.most / 2.0, now_ms, takes_ms),
            None if leaving && slow => self.limit = Some(Limit::new(flow.held * PART, now_ms, takes_ms)),
            Some(limit) if now_ms.saturating_sub(limit.reached_ms) >= UNUSED_MS => self.limit = None,
            Some(limit) if now_ms.saturating_sub(limit.reached_ms) < LOOK_MS => {
                let growth = if slow { GROWTH } else { TOO_LOW };
                limit.most *= growth.powf(millis(gone_ms) / 1_000.0);
            }
            _ => {}
        }
    }
}

impl Limit {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds, clamped")]
    fn new(most: f64, now_ms: u64, takes_ms: f64) -> Self {
        Self { most, pause_ms: now_ms + takes_ms.min(LONGEST_PAUSE_MS) as u64, reached_ms: now_ms }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds and counts")]
fn millis(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Endpoints that answer `able` requests a second in order, clients that ask for `asked` and leave after `patience`
    /// seconds; work is done whether or not somebody waits for it. All in steps of 100 ms.
    struct Queue {
        able: f64,
        patience: f64,
        /// Age and number of what waits, oldest first.
        waiting: std::collections::VecDeque<(f64, f64)>,
        overload: Overload,
        now_ms: u64,
        served: f64,
        left: f64,
        shed: f64,
    }

    impl Queue {
        fn new(able: f64, patience: f64) -> Self {
            let overload = Overload::default();
            Self { able, patience, waiting: [].into(), overload, now_ms: 0, served: 0.0, left: 0.0, shed: 0.0 }
        }

        /// Those whose clients still wait, and how many a second for `seconds`; returns good answers a second.
        fn run(&mut self, asked: f64, seconds: u32) -> f64 {
            let before = self.served;
            for _ in 0..seconds * 10 {
                self.now_ms += 100;
                let held: f64 = self.waiting.iter().filter(|(age, _)| *age < self.patience).map(|(_, n)| n).sum();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test")]
                let flow =
                    Flow { held: held.max(1.0), served: self.served as u64, left: self.left as u64, ready: 10.0 };
                let room = self.overload.step(self.now_ms, flow).map_or(f64::INFINITY, |limit| limit - held);
                let taken = (asked / 10.0).min(room.max(0.0));
                self.shed += asked / 10.0 - taken;
                for (age, n) in &mut self.waiting {
                    if *age < self.patience && *age + 0.1 >= self.patience {
                        self.left += *n;
                    }
                    *age += 0.1;
                }
                self.waiting.push_back((0.0, taken));
                let mut work = self.able / 10.0;
                while work > 1e-9
                    && let Some((age, n)) = self.waiting.front_mut()
                {
                    let done = n.min(work);
                    (work, *n) = (work - done, *n - done);
                    if *age < self.patience {
                        self.served += done;
                    }
                    if *n <= 1e-9 {
                        self.waiting.pop_front();
                    }
                }
            }
            (self.served - before) / f64::from(seconds)
        }
    }

    #[test]
    fn good_answers_do_not_fall_to_nothing() {
        let mut queue = Queue::new(100.0, 5.0);
        queue.run(50.0, 20);
        queue.run(150.0, 40);
        let steady = queue.run(150.0, 120);
        assert!(steady > 90.0, "{steady} of 100 a second");
        assert!(queue.shed > 0.0);
        let mut without = Queue::new(100.0, 5.0);
        without.run(50.0, 20);
        without.run(150.0, 40);
        without.overload = Overload {
            looked: Some((u64::MAX, Flow { held: 0.0, served: 0, left: 0, ready: 0.0 })),
            ..Overload::default()
        };
        let before = without.run(150.0, 120);
        assert!(before < 10.0, "the test can tell: without a limit {before} a second");
    }

    #[test]
    fn the_limit_ends_when_it_is_not_needed() {
        let mut queue = Queue::new(100.0, 5.0);
        queue.run(50.0, 20);
        queue.run(150.0, 60);
        assert!(queue.overload.limit.is_some());
        queue.run(50.0, 60);
        assert!(queue.overload.limit.is_none());
        let shed = queue.shed;
        assert!((queue.run(90.0, 20) - 90.0).abs() < 2.0 && queue.shed <= shed);
    }

    #[test]
    fn clients_that_leave_for_their_own_reasons_limit_nothing() {
        let mut overload = Overload::default();
        for second in 0..600_u64 {
            // A third of the searches is given up while somebody types, at an unchanged pace of answers.
            let flow = Flow { held: 20.0, served: second * 200, left: second * 100, ready: 10.0 };
            assert_eq!(overload.step(second * 1_000, flow), None);
        }
    }

    #[test]
    fn the_end_of_a_load_generators_run_limits_nothing() {
        let (mut overload, mut flow) = (Overload::default(), Flow { held: 0.0, served: 0, left: 0, ready: 1.0 });
        for tenth in 0..6_000_u64 {
            // 32 connections and a millisecond for each request: 1,010 ms of work and then four seconds of nothing, so that
            // the last of it falls anywhere between two looks.
            let works_ms = 1_010_u64.saturating_sub(tenth * 100 % 5_300).min(100);
            flow.served += 32 * works_ms;
            flow.left += if (1..100).contains(&works_ms) { 32 } else { 0 };
            flow.held = if works_ms == 100 { 32.0 } else { 0.0 };
            assert_eq!(overload.step(tenth * 100, flow), None, "{tenth} tenths of a second");
        }
    }

    #[test]
    fn a_quiet_night_makes_no_day_slow() {
        let mut overload = Overload::default();
        for second in 0..600_u64 {
            let flow = Flow { held: 0.0, served: second, left: 0, ready: 10.0 };
            assert_eq!(overload.step(second * 1_000, flow), None);
        }
        for second in 0..600_u64 {
            // Searches of 200 ms, a third of them given up while somebody types.
            let flow = Flow { held: 40.0, served: 600 + second * 200, left: second * 100, ready: 10.0 };
            assert_eq!(overload.step((600 + second) * 1_000, flow), None, "{second}");
        }
    }

    #[test]
    fn being_slow_alone_limits_nothing() {
        let mut overload = Overload::default();
        for second in 0..600_u64 {
            let held = if second < 30 { 20.0 } else { 2_000.0 };
            assert_eq!(overload.step(second * 1_000, Flow { held, served: second * 200, left: 0, ready: 10.0 }), None);
        }
    }

    #[test]
    fn what_is_there_is_worked_off_first() {
        let mut overload = Overload::default();
        let mut flow = Flow { held: 20.0, served: 0, left: 0, ready: 8.0 };
        overload.step(0, flow);
        flow.served += 200;
        overload.step(1_000, flow);
        flow = Flow { held: 400.0, served: flow.served + 100, left: 50, ..flow };
        assert_eq!(overload.step(2_000, flow), Some(40.0), "twice of what was borne");
        assert_eq!(overload.step(5_900, flow), Some(40.0), "400 in flight at 100 a second take four seconds");
        assert_eq!(overload.step(6_100, flow), Some(100.0), "then a quarter");
    }

    #[test]
    fn a_stall_is_forgotten_within_seconds() {
        let (mut overload, mut flow) = (Overload::default(), Flow { held: 4.0, served: 0, left: 0, ready: 1.0 });
        for second in 0..10 {
            flow.served += 2_000;
            assert_eq!(overload.step(second * 1_000, flow), None);
        }
        flow = Flow { held: 900.0, served: flow.served + 400, left: 100, ..flow };
        let least = overload.step(10_000, flow);
        assert_eq!(least, Some(8.0), "what was in flight before has room meanwhile");
        let mut limit = least;
        for second in 11..60 {
            // What is asked is as much as ever, in flight as far as it may.
            flow = Flow { held: 4.0_f64.min(limit.unwrap_or(4.0)), served: flow.served + 2_000, ..flow };
            limit = overload.step(second * 1_000, flow);
            assert!(limit.is_none_or(|limit| limit >= 8.0), "{limit:?}");
        }
        assert_eq!(limit, None);
    }
}
