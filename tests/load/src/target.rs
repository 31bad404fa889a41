//! Where requests go.

use std::str::FromStr;

use http::Uri;

/// An `http://` URL, taken apart once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name or address to resolve.
    pub host: String,
    /// TCP port, 80 unless the URL says otherwise.
    pub port: u16,
    /// What stands in the `Host` header: as in the URL.
    pub authority: String,
    /// Path and query, at least `/`.
    pub path: String,
}

/// Why a URL cannot be a target.
#[derive(Debug, thiserror::Error)]
#[error("target {url:?}: {reason}; expected http://HOST[:PORT][/PATH]")]
pub struct TargetError {
    url: String,
    reason: String,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        let refuse = |reason: &str| TargetError { url: url.to_owned(), reason: reason.to_owned() };
        let uri: Uri = url.parse().map_err(|e: http::uri::InvalidUri| refuse(&e.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(refuse("only plain http is spoken"));
        }
        let authority = uri.authority().ok_or_else(|| refuse("no host"))?;
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_means_port_80_and_the_root() {
        let t: Target = "http://model-server.ml-production".parse().unwrap();
        assert_eq!((t.host.as_str(), t.port, t.path.as_str()), ("model-server.ml-production", 80, "/"));
        assert_eq!(t.authority, "model-server.ml-production");
    }

    #[test]
    fn a_port_and_a_path_are_kept() {
        let t: Target = "http://[::1]:8080/a?b=c".parse().unwrap();
        assert_eq!((t.host.as_str(), t.port, t.path.as_str()), ("::1", 8080, "/a?b=c"));
    }

    #[test]
    fn what_is_not_plain_http_is_refused_by_name() {
        let said = "https://x".parse::<Target>().unwrap_err().to_string();
        assert!(said.contains("https://x"), "{said}");
    }
}
