//! From what lies in the files to what to do: the decision without I/O and without a clock.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Found, IdentityState};
use crate::certificate::LeafCertificate;
use crate::id::SpiffeId;
use crate::material::{Material, MaterialPem};
use crate::moment::utc;

/// What the watcher remembers between two looks.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The set in use: digest of its contents, and its leaf.
    loaded: Option<([u8; 32], LeafCertificate)>,
    /// The last complaint, so that one cause is logged once: digest of the contents (if any) and the reason.
    complained: Option<(Option<[u8; 32]>, Arc<str>)>,
}

/// What to do after one look.
#[derive(Debug)]
pub(super) struct Step {
    /// Put this in use.
    pub(super) install: Option<Material>,
    /// Show this.
    pub(super) state: IdentityState,
    /// Log the state: it is a failure not yet logged.
    pub(super) complain: bool,
}

impl Progress {
    /// `None` when the files moved while being read: nothing changes until the next look.
    pub(super) fn step(&mut self, found: Found, own: &SpiffeId, now: SystemTime) -> Option<Step> {
        match found {
            Found::Unsettled => None,
            Found::Complete(pem) => Some(self.complete(&pem, own, now)),
            Found::Missing(missing) => Some(match &self.loaded {
                None => Step { install: None, state: IdentityState::Waiting { missing }, complain: false },
                Some(_) => self.failing(None, gone(&missing)),
            }),
            Found::Unreadable { path, error } => Some(self.failing(None, format!("{}: {error}", path.display()))),
        }
    }

    /// A refused set is judged anew at each look, because a certificate that starts later becomes good by waiting.
    fn complete(&mut self, pem: &MaterialPem, own: &SpiffeId, now: SystemTime) -> Step {
        let digest = pem.digest();
        match &self.loaded {
            Some((loaded, leaf)) if *loaded == digest => {
                let leaf = leaf.clone();
                self.unchanged(digest, leaf, now)
            }
            _ => match Material::parse(pem, own, now) {
                Ok(material) => {
                    self.loaded = Some((digest, material.leaf().clone()));
                    self.complained = None;
                    let state = IdentityState::Ready(material.leaf().clone());
                    Step { install: Some(material), state, complain: false }
                }
                Err(error) => self.failing(Some(digest), error.to_string()),
            },
        }
    }

    fn unchanged(&mut self, digest: [u8; 32], leaf: LeafCertificate, now: SystemTime) -> Step {
        if leaf.expired(now) {
            let end = utc(leaf.not_after);
            let reason = format!(
                "the certificate in use expired at {end} and no newer one has appeared (is the controller, which renews it, running?)"
            );
            return self.failing(Some(digest), reason);
        }
        self.complained = None;
        Step { install: None, state: IdentityState::Ready(leaf), complain: false }
    }

    fn failing(&mut self, digest: Option<[u8; 32]>, reason: String) -> Step {
        let complaint = (digest, Arc::from(reason));
        let complain = self.complained.as_ref() != Some(&complaint);
        let still_using = self.loaded.as_ref().map(|(_, leaf)| leaf.clone());
        let state = IdentityState::Failing { reason: Arc::clone(&complaint.1), still_using };
        self.complained = Some(complaint);
        Step { install: None, state, complain }
    }
}

fn gone(missing: &[impl AsRef<Path>]) -> String {
    let paths: Vec<_> = missing.iter().map(|path| path.as_ref().display().to_string()).collect();
    format!("{} no longer there (was the identity Secret deleted?)", paths.join(" and "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::testing::{Forge, now, spiffe};

    const DAY: Duration = Duration::from_secs(86_400);

    fn step(progress: &mut Progress, found: Found) -> Step {
        step_at(progress, found, now())
    }

    fn step_at(progress: &mut Progress, found: Found, at: SystemTime) -> Step {
        progress.step(found, &spiffe("us-west"), at).unwrap()
    }

    fn good(forge: &Forge) -> Found {
        Found::Complete(forge.leaf("us-west").material(Some(forge)))
    }

    fn bad(text: &str) -> Found {
        Found::Complete(MaterialPem { certificate: text.into(), key: text.into(), authority: None })
    }

    #[test]
    fn nothing_there_is_waiting_and_not_an_error() {
        let mut progress = Progress::default();
        let missing = vec![PathBuf::from("tls.key")];
        let step = step(&mut progress, Found::Missing(missing.clone()));
        assert_eq!(step.state, IdentityState::Waiting { missing });
        assert!(!step.complain && step.install.is_none());
    }

    #[test]
    fn a_bad_set_keeps_the_good_one_and_is_logged_once() {
        let mut progress = Progress::default();
        let first = good(&Forge::new("us-west"));
        assert!(step(&mut progress, first.clone()).install.is_some());

        let broken = step(&mut progress, bad("a"));
        assert!(broken.complain && broken.install.is_none());
        assert_eq!(broken.state.label(), "failing");
        assert!(broken.state.leaf().is_some(), "{}", broken.state);
        assert!(!step(&mut progress, bad("a")).complain, "the same content again");
        assert!(step(&mut progress, bad("b")).complain, "other content");

        let back = step(&mut progress, first);
        assert!(back.install.is_none(), "it was never out of use");
        assert_eq!(back.state.label(), "ready");
        assert!(step(&mut progress, bad("b")).complain, "broken anew");
    }

    #[test]
    fn deleted_files_keep_the_certificate() {
        let mut progress = Progress::default();
        step(&mut progress, good(&Forge::new("us-west")));
        let gone = step(&mut progress, Found::Missing(vec!["tls.crt".into()]));
        assert!(gone.complain && gone.state.leaf().is_some());
        assert!(gone.state.to_string().contains("tls.crt"), "{}", gone.state);
    }

    #[test]
    fn expiry_shows_without_any_change_of_the_files() {
        let mut progress = Progress::default();
        let set = good(&Forge::new("us-west"));
        step(&mut progress, set.clone());
        let late = step_at(&mut progress, set.clone(), now() + 11 * DAY);
        assert!(late.complain && late.state.to_string().contains("expired at"), "{}", late.state);
        assert!(!step_at(&mut progress, set, now() + 12 * DAY).complain);
    }

    #[test]
    fn a_certificate_of_tomorrow_is_taken_tomorrow() {
        let mut progress = Progress::default();
        let forge = Forge::new("us-west");
        let leaf = forge.leaf_with("us-west", |p| p.not_before = (now() + DAY).into());
        let set = Found::Complete(leaf.material(Some(&forge)));
        let early = step(&mut progress, set.clone());
        assert!(early.complain && early.install.is_none());
        assert!(early.state.to_string().contains("not valid before"), "{}", early.state);
        assert!(step_at(&mut progress, set, now() + 2 * DAY).install.is_some());
    }

    #[test]
    fn an_unsettled_look_changes_nothing() {
        assert!(Progress::default().step(Found::Unsettled, &spiffe("us-west"), now()).is_none());
    }
}
