//! The name of a cluster inside a certificate: `spiffe://<trust-domain>/cluster/<id>`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use strait_catalog::{ClusterId, NameError};

/// Longest trust domain, from the SPIFFE ID specification §2.1.
const MAX_TRUST_DOMAIN: usize = 255;
/// Longest id that an implementation must accept, from the SPIFFE ID specification §2.3.
const MAX_ID: usize = 2048;
const SCHEME: &str = "spiffe://";
const PATH: &str = "cluster/";

/// Why a text is not a trust domain or not the id of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty, too long, or with a character the specification does not allow.
    #[error("trust domain {found:?} is not 1 to 255 of a-z, 0-9, '.', '-' and '_' (upper case is not allowed)")]
    TrustDomain {
        /// The refused text, shortened.
        found: String,
    },
    /// Another kind of URI.
    #[error("{found:?} is not a SPIFFE id: it does not start with spiffe:// (in lower case)")]
    Scheme {
        /// The refused text, shortened.
        found: String,
    },
    /// A SPIFFE id, but not of a cluster.
    #[error("{found:?} is not the id of a cluster: the path is not exactly /cluster/<id>")]
    Path {
        /// The refused text, shortened.
        found: String,
    },
    /// The path is right, the id is not a DNS label.
    #[error("{found:?} does not name a cluster")]
    Cluster {
        /// The refused text, shortened.
        found: String,
        /// What is wrong with the id.
        source: NameError,
    },
    /// More than 2048 bytes.
    #[error("a SPIFFE id has at most {MAX_ID} bytes, this one has {length}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

/// A SPIFFE trust domain: 1 to 255 of `a-z 0-9 . - _`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Checks the characters and the length. Upper case is refused, not lowered: two spellings must not be two names.
    ///
    /// # Errors
    /// [`IdError::TrustDomain`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if matches!(text.len(), 1..=MAX_TRUST_DOMAIN) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(IdError::TrustDomain { found: shortened(text) })
        }
    }

    /// The domain itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

/// The id of a cluster, `spiffe://<trust-domain>/cluster/<id>`: the one URI name of its certificates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// Who vouches for the names below it.
    pub trust_domain: TrustDomain,
    /// The cluster.
    pub cluster: ClusterId,
}

impl SpiffeId {
    /// The id of that cluster in that trust domain.
    #[must_use]
    pub fn new(trust_domain: TrustDomain, cluster: ClusterId) -> Self {
        Self { trust_domain, cluster }
    }

    /// Parses the exact form: lower case scheme, no user, port, query, fragment, escape, further or empty segment.
    ///
    /// # Errors
    /// [`IdError`], saying which part is wrong.
    pub fn parse(uri: &str) -> Result<Self, IdError> {
        if uri.len() > MAX_ID {
            return Err(IdError::TooLong { length: uri.len() });
        }
        let rest = uri.strip_prefix(SCHEME).ok_or_else(|| IdError::Scheme { found: shortened(uri) })?;
        let (domain, path) = rest.split_once('/').ok_or_else(|| IdError::Path { found: shortened(uri) })?;
        let trust_domain = TrustDomain::parse(domain)?;
        let id = path.strip_prefix(PATH).ok_or_else(|| IdError::Path { found: shortened(uri) })?;
        if id.is_empty() || id.contains('/') {
            return Err(IdError::Path { found: shortened(uri) });
        }
        let cluster = ClusterId::parse(id).map_err(|source| IdError::Cluster { found: shortened(uri), source })?;
        Ok(Self { trust_domain, cluster })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{PATH}{}", self.trust_domain, self.cluster)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SpiffeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip() {
        for text in
            ["spiffe://strait.example/cluster/us-west", "spiffe://a/cluster/1", "spiffe://a_b-c.d/cluster/eu-west-1"]
        {
            assert_eq!(SpiffeId::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_but_the_exact_form_is_refused() {
        for bad in [
            "",
            "spiffe://",
            "spiffe:///cluster/a",
            "spiffe://d",
            "spiffe://d/",
            "spiffe://d/cluster",
            "spiffe://d/cluster/",
            "spiffe://d//cluster/a",
            "spiffe://d/cluster//a",
            "spiffe://d/cluster/a/",
            "spiffe://d/cluster/a/b",
            "spiffe://d/Cluster/a",
            "spiffe://d/cluster/A",
            "spiffe://d/cluster/a.b",
            "spiffe://d/cluster/a?x=1",
            "spiffe://d/cluster/a#f",
            "spiffe://d/cluster/%61",
            "spiffe://d/cluster/..",
            "spiffe://d/ns/x/sa/y",
            "spiffe://D/cluster/a",
            "spiffe://u@d/cluster/a",
            "spiffe://d:443/cluster/a",
            "spiffe://d%2e/cluster/a",
            "Spiffe://d/cluster/a",
            "https://d/cluster/a",
            " spiffe://d/cluster/a",
            "spiffe://d/cluster/a ",
            "spiffe://d/cluster/a\0",
            "spiffe://ü/cluster/a",
        ] {
            assert!(SpiffeId::parse(bad).is_err(), "{bad:?}");
        }
        let long = format!("spiffe://{}/cluster/a", "d".repeat(256));
        assert!(matches!(SpiffeId::parse(&long), Err(IdError::TrustDomain { .. })));
        let longer = format!("spiffe://d/cluster/{}", "a".repeat(3000));
        assert!(matches!(SpiffeId::parse(&longer), Err(IdError::TooLong { .. })));
    }
}
