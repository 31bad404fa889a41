//! The failover script: one fault after the other, under load, and the figures of each.

use std::time::Duration;

use strait_load::generator::now_us;

use super::fleet::Fleet;
use super::judge::Evidence;
use super::layout::SITES;
use super::phase::{Played, Report, report};
use super::relay::Mode;
use super::traffic::{Log, PATIENCE, Seen};

/// The cluster whose clients ask and whose pods fail.
const HOME: &str = "us-west";
/// How long a settled state is watched before the next fault.
const CALM: Duration = Duration::from_secs(3);
/// How long the pods of a crash stay away.
const CRASH: Duration = Duration::from_secs(5);

/// What shows that a phase's fault happened.
enum Shown {
    /// Answers from one of these.
    By(Vec<&'static str>),
    /// Whether the relay counted it.
    Counted(bool),
}

/// Plays the script.
pub struct Script<'a> {
    fleet: &'a mut Fleet,
    log: &'a Log,
    steady_p99_ms: Option<f64>,
    /// The phase that ended last: its requests may still be under way.
    ended: Option<(Played, Shown)>,
    evidence: Vec<Evidence>,
    tell: &'a mut dyn FnMut(&Report),
}

impl<'a> Script<'a> {
    /// `tell` hears of each phase as it ends.
    pub fn new(fleet: &'a mut Fleet, log: &'a Log, tell: &'a mut dyn FnMut(&Report)) -> Self {
        Self { fleet, log, steady_p99_ms: None, ended: None, evidence: Vec::new(), tell }
    }

    /// Plays every phase and returns what each showed.
    ///
    /// # Errors
    /// When a fault cannot be made.
    pub async fn play(mut self) -> anyhow::Result<Vec<Evidence>> {
        self.steady().await;
        self.scale_to_zero().await?;
        self.restore().await?;
        self.crash().await?;
        self.refused_gateway().await?;
        self.black_hole().await;
        self.heal().await?;
        pause(PATIENCE + Duration::from_millis(200)).await;
        self.count();
        Ok(self.evidence)
    }

    async fn steady(&mut self) {
        let phase = Played { round_trip: Duration::ZERO, ..self.begin("steady", vec![]) };
        pause(CALM * 2).await;
        self.end(phase, Shown::By(vec![HOME]));
    }

    async fn scale_to_zero(&mut self) -> anyhow::Result<()> {
        let phase = self.begin("scale-to-zero", others());
        self.fleet.scale_to_zero(HOME)?;
        pause(CALM * 2).await;
        self.end(phase, Shown::By(others()));
        Ok(())
    }

    async fn restore(&mut self) -> anyhow::Result<()> {
        let phase = self.begin("restore", vec![HOME]);
        self.fleet.scale_back(HOME)?;
        self.until_all_from_home().await;
        self.end(phase, Shown::By(vec![HOME]));
        Ok(())
    }

    async fn crash(&mut self) -> anyhow::Result<()> {
        let phase = self.begin("crash", others());
        self.fleet.stop_pods(HOME);
        pause(CRASH).await;
        self.fleet.start_pods(HOME)?;
        self.until_all_from_home().await;
        self.end(phase, Shown::By(others()));
        Ok(())
    }

    async fn refused_gateway(&mut self) -> anyhow::Result<()> {
        let mut phase = self.begin("refused-gateway", vec![]);
        self.fleet.scale_to_zero(HOME)?;
        pause(CALM).await;
        let hit = self.fault_at_serving(&mut phase, Mode::Refuse);
        pause(CALM * 2).await;
        let shown = refused(self.fleet, hit) > 0;
        self.end(phase, Shown::Counted(shown));
        Ok(())
    }

    async fn black_hole(&mut self) {
        let mut phase = self.begin("black-hole", vec![]);
        self.fleet.heal();
        self.until_two_serve().await;
        pause(CALM).await;
        let hit = self.fault_at_serving(&mut phase, Mode::Swallow);
        pause(CALM * 2).await;
        let shown = swallowed(self.fleet, hit) > 0;
        self.end(phase, Shown::Counted(shown));
    }

    async fn heal(&mut self) -> anyhow::Result<()> {
        let phase = self.begin("heal", vec![HOME]);
        self.fleet.heal();
        self.fleet.scale_back(HOME)?;
        self.until_all_from_home().await;
        self.end(phase, Shown::By(vec![HOME]));
        Ok(())
    }

    /// Phases follow each other without a gap: every request belongs to one. A good answer from elsewhere takes a round
    /// trip longer than one at home.
    fn begin(&self, name: &'static str, targets: Vec<&'static str>) -> Played {
        let round_trip = self.fleet.farthest(HOME);
        let now = now_us();
        let from_us = self.ended.as_ref().map_or(now, |(before, _)| before.to_us);
        Played { name, from_us, to_us: u64::MAX, fault_us: now, targets, round_trip }
    }

    /// Ends a phase. The one before is counted now: each is longer than a request can take.
    fn end(&mut self, mut phase: Played, shown: Shown) {
        phase.to_us = now_us();
        self.count();
        self.ended = Some((phase, shown));
    }

    fn count(&mut self) {
        let Some((phase, shown)) = self.ended.take() else { return };
        let report = report(&phase, &self.log.since(phase.from_us), self.steady_p99_ms);
        (self.tell)(&report);
        self.steady_p99_ms = self.steady_p99_ms.or(report.all.p99_ms);
        let shown = match shown {
            Shown::By(places) => places.iter().any(|c| report.all.served.contains_key(*c)),
            Shown::Counted(counted) => counted,
        };
        self.evidence.push(Evidence { report, shown });
    }

    /// Hits the path to the cluster that answered most in the last second; the other one is then the target.
    fn fault_at_serving(&self, phase: &mut Played, mode: Mode) -> &'static str {
        let last_second = self.log.since(now_us().saturating_sub(1_000_000));
        let answers = |cluster: &str| last_second.iter().filter(|s| s.sample.served_by == cluster).count();
        let hit = others().into_iter().max_by_key(|c| answers(c)).unwrap_or("us-east");
        phase.targets = others().into_iter().filter(|c| *c != hit).collect();
        phase.fault_us = now_us();
        self.fleet.set_path(HOME, hit, mode);
        hit
    }

    /// Waits until a whole second was answered at home, 90 s at most.
    async fn until_all_from_home(&self) {
        self.until(|seen| !seen.is_empty() && seen.iter().all(|s| s.sample.served_by == HOME)).await;
    }

    async fn until_two_serve(&self) {
        self.until(|seen| others().iter().all(|c| seen.iter().any(|s| s.sample.served_by == *c))).await;
    }

    async fn until(&self, good: impl Fn(&[Seen]) -> bool) {
        for _ in 0..90 {
            pause(Duration::from_secs(1)).await;
            if good(&self.log.since(now_us().saturating_sub(1_000_000))) {
                return;
            }
        }
    }
}

fn others() -> Vec<&'static str> {
    SITES.iter().map(|s| s.name).filter(|n| *n != HOME).collect()
}

fn refused(fleet: &Fleet, hit: &str) -> u64 {
    count(fleet, hit, |c| &c.refused)
}

fn swallowed(fleet: &Fleet, hit: &str) -> u64 {
    count(fleet, hit, |c| &c.swallowed)
}

fn count(fleet: &Fleet, hit: &str, of: impl Fn(&super::relay::Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
    fleet.relay(HOME, hit).map_or(0, |r| of(r.counters()).load(std::sync::atomic::Ordering::Relaxed))
}

async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
