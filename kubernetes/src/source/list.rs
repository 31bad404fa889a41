//! Complete lists, read in pages.

use std::time::Duration;

use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use tokio::time::timeout;

use super::error::SourceError;
use super::follow::Follow;
use super::object::{Head, Sighting, revision};
use super::quarantine::Quarantine;
use super::target::Watched;
use super::wire::Page;

/// Objects a page.
const PAGE: u32 = 500;
/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads one kind from one API server.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) server: String,
    pub(super) watched: Watched,
}

/// A complete list.
pub(super) struct Listing<F> {
    /// Where it was found.
    pub(super) path: String,
    /// The revision at which it stands.
    pub(super) revision: u64,
    pub(super) seen: Vec<Sighting<F>>,
}

impl Reader {
    /// Lists the kind under the first path that is served; `None` when none is, or may be read. A quorum read: no `resourceVersion`.
    pub(super) async fn list<F: Follow>(
        &self,
        follow: &F,
        quarantine: &mut Quarantine,
    ) -> Result<Option<Listing<F::Fact>>, SourceError> {
        for path in self.watched.paths() {
            match self.list_at(&path, follow, quarantine).await {
                Err(error) if error.code() == Some(404) && self.watched.may_be_absent() => {}
                // What is known already is kept instead, and the refusal told.
                Err(error)
                    if error.code() == Some(403)
                        && self.watched.may_be_forbidden()
                        && follow.known().next().is_none() => {}
                Err(error) => return Err(error),
                Ok(listing) => return Ok(Some(listing)),
            }
        }
        Ok(None)
    }

    async fn list_at<F: Follow>(
        &self,
        path: &str,
        follow: &F,
        quarantine: &mut Quarantine,
    ) -> Result<Listing<F::Fact>, SourceError> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = self.watched.labels().map(str::to_owned);
        params.field_selector = self.watched.fields();
        let mut listing = None;
        loop {
            let text = self.get(path, &params).await?;
            let page: Page<'_> = serde_json::from_str(&text).map_err(|error| self.garbage(path, &error))?;
            let at = revision(&page.metadata.resource_version).map_err(|text| self.no_revision(path, text))?;
            let listing =
                listing.get_or_insert_with(|| Listing { path: path.to_owned(), revision: at, seen: Vec::new() });
            if listing.revision != at {
                return Err(self.garbage(path, &"its pages stand at different revisions"));
            }
            for raw in page.items.into_iter().flatten() {
                listing.seen.push(self.sight(path, raw.get(), follow, quarantine)?);
            }
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => break,
            }
        }
        // The loop reads one page at least.
        listing.ok_or_else(|| self.garbage(path, &"no page"))
    }

    /// Reads one object out of a list or an event. One that does not read, or is of no use, says nothing.
    pub(super) fn sight<F: Follow>(
        &self,
        path: &str,
        json: &str,
        follow: &F,
        quarantine: &mut Quarantine,
    ) -> Result<Sighting<F::Fact>, SourceError> {
        let head = Head::read(json).map_err(|error| self.garbage(path, &error))?;
        let name = head.name();
        let revision =
            head.revision().map_err(|text| self.no_revision(&format!("{} {name}", self.watched.as_str()), text))?;
        let fact = match follow.read(json) {
            Ok(fact) => {
                quarantine.free(&name);
                fact
            }
            Err(unfit) => {
                quarantine.put(self.watched, &name, &unfit);
                None
            }
        };
        Ok(Sighting { name, revision, fact })
    }

    /// The API server's present revision: that of a quorum list of Services, one object of it.
    pub(super) async fn current_revision(&self) -> Result<u64, SourceError> {
        self.revision_at(&Watched::Service.paths()[0]).await
    }

    /// The present revision of what is served under a path: that of a quorum list limited to one object.
    pub(super) async fn revision_at(&self, path: &str) -> Result<u64, SourceError> {
        let text = self.get(path, &ListParams::default().limit(1)).await?;
        let page: Page<'_> = serde_json::from_str(&text).map_err(|error| self.garbage(path, &error))?;
        revision(&page.metadata.resource_version).map_err(|text| self.no_revision(path, text))
    }

    async fn get(&self, path: &str, params: &ListParams) -> Result<String, SourceError> {
        let request =
            Request::new(path).list(params).map_err(|error| self.request(path, kube::Error::BuildRequest(error)))?;
        match timeout(PATIENCE, self.client.request_text(request)).await {
            Ok(answer) => answer.map_err(|error| self.request(path, error)),
            Err(_) => Err(self.silent(path, PATIENCE)),
        }
    }

    pub(super) fn request(&self, path: &str, error: kube::Error) -> SourceError {
        SourceError::Request { path: path.to_owned(), server: self.server.clone(), source: Box::new(error) }
    }

    pub(super) fn silent(&self, path: &str, waited: Duration) -> SourceError {
        SourceError::Silent { path: path.to_owned(), server: self.server.clone(), seconds: waited.as_secs() }
    }

    pub(super) fn garbage(&self, path: &str, reason: &dyn std::fmt::Display) -> SourceError {
        SourceError::Garbage { path: path.to_owned(), server: self.server.clone(), reason: reason.to_string() }
    }

    pub(super) fn no_revision(&self, object: &str, text: &str) -> SourceError {
        SourceError::Revision {
            object: object.to_owned(),
            server: self.server.clone(),
            revision: text.chars().take(80).collect(),
        }
    }
}
