//! Whether a script's run is good: what a phase may lose, and whether its fault showed at all.

use strait_load::sample::Kind;

use super::phase::Report;

/// The most requests that may fail in the black hole: those in flight when the path falls silent.
const BLACK_HOLE_MAY_LOSE: usize = 20;

/// What the run proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every fault showed, and nothing was lost that must not be.
    Good,
    /// A phase lost what it must not; each line says which.
    Lost(Vec<String>),
    /// A fault did not show, so the run proves nothing; each line says which.
    NoFault(Vec<String>),
}

impl Verdict {
    /// The exit status: 0, 1 or 2.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Lost(_) => 1,
            Self::NoFault(_) => 2,
        }
    }

    /// The lines that say why, if it is not good.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        match self {
            Self::Good => &[],
            Self::Lost(reasons) | Self::NoFault(reasons) => reasons,
        }
    }
}

/// A phase's report with what shows that its fault happened.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The phase.
    pub report: Report,
    /// The fault showed: in who served, or in the relay's counters.
    pub shown: bool,
}

/// Judges a whole run.
#[must_use]
pub fn judge(phases: &[Evidence]) -> Verdict {
    let silent: Vec<String> = phases
        .iter()
        .filter(|p| !p.shown)
        .map(|p| format!("{}: the fault did not show in who served or in the relay", p.report.name))
        .collect();
    if !silent.is_empty() {
        return Verdict::NoFault(silent);
    }
    let lost: Vec<String> = phases.iter().filter_map(|p| lost(&p.report)).collect();
    if lost.is_empty() { Verdict::Good } else { Verdict::Lost(lost) }
}

fn lost(report: &Report) -> Option<String> {
    // What the clients themselves were late for says nothing.
    let late = report.all.errors.get(Kind::Late.as_str()).copied().unwrap_or(0);
    let (name, failed) = (report.name, report.all.failed - late);
    let may = if name == "black-hole" { BLACK_HOLE_MAY_LOSE } else { 0 };
    (failed > may).then(|| format!("{name}: {failed} lost where {may} may be, {:?}", report.all.errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::phase::Figures;

    fn phase(name: &'static str, failed: usize, shown: bool) -> Evidence {
        let all = Figures { failed, ..Figures::default() };
        Evidence { report: Report { name, all, clients: Default::default() }, shown }
    }

    #[test]
    fn only_the_black_hole_may_lose_a_little() {
        assert_eq!(judge(&[phase("crash", 0, true), phase("black-hole", 20, true)]), Verdict::Good);
        assert_eq!(judge(&[phase("crash", 1, true)]).exit_status(), 1);
        assert_eq!(judge(&[phase("black-hole", 21, true)]).exit_status(), 1);
        assert_eq!(judge(&[phase("crash", 5, false)]).exit_status(), 2);
    }
}
