//! Whom a finished handshake authenticated, and why an unfinished one failed.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, CommonState, Error};
use strait_catalog::ClusterId;

use crate::certificate::LeafCertificate;
use crate::verify::PeerError;

/// The facts of the peer's certificate. Works on server and client connections alike (`&connection` coerces).
///
/// On the dialling side the handshake finishes before the other side has judged one's own certificate: its refusal
/// arrives as an alert with the first read.
///
/// # Errors
/// [`PeerError::Unauthenticated`] before the handshake has finished.
pub fn peer_certificate(connection: &CommonState) -> Result<LeafCertificate, PeerError> {
    if connection.is_handshaking() {
        return Err(PeerError::Unauthenticated);
    }
    let leaf = connection.peer_certificates().and_then(<[_]>::first).ok_or(PeerError::Unauthenticated)?;
    Ok(LeafCertificate::read(leaf)?)
}

/// The cluster that the peer has proved to be.
///
/// # Errors
/// As [`peer_certificate`].
pub fn peer_cluster(connection: &CommonState) -> Result<ClusterId, PeerError> {
    Ok(peer_certificate(connection)?.id.cluster)
}

/// The typed reason when this side refused the peer's certificate.
#[must_use]
pub fn peer_error(error: &Error) -> Option<&PeerError> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
        _ => None,
    }
}

/// One line for a person on why a connection between clusters failed, from the `io::Error` of the TLS stream or from
/// rustls' own error, with the likely cause where TLS itself says little.
#[must_use]
pub fn explain(error: &(dyn StdError + 'static)) -> String {
    match rustls_error(error) {
        Some(tls) => explain_tls(tls),
        None if cut(error) => CUT.to_owned(),
        None => with_causes(error),
    }
}

/// For an end without TLS's own goodbye; rustls only links to its manual.
const CUT: &str = "the other side ended the connection without a goodbye (did that daemon crash, or was it killed?)";

fn cut(error: &(dyn StdError + 'static)) -> bool {
    let of_io = |e: &(dyn StdError + 'static)| e.downcast_ref::<io::Error>().map(io::Error::kind);
    std::iter::successors(Some(error), |e| (*e).source()).any(|e| of_io(e) == Some(io::ErrorKind::UnexpectedEof))
}

/// hyper's own words are "connection error"; what happened stands in its sources.
fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |e| (*e).source()).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

/// Finds rustls' error inside: an `io::Error` holds it, but does not give it as its source.
fn rustls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<Error>() {
            return Some(tls);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn explain_tls(error: &Error) -> String {
    if let Some(reason) = peer_error(error) {
        return reason.to_string();
    }
    let alert = match error {
        Error::AlertReceived(alert) => alert,
        Error::InvalidMessage(what) => {
            return format!("what came is not TLS ({what:?}; a plain-text client, a health check or a scanner?)");
        }
        other => return other.to_string(),
    };
    match alert {
        AlertDescription::CertificateUnknown
        | AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateExpired
        | AlertDescription::DecryptError => format!(
            "the peer refused this cluster's certificate ({alert:?}); its log has the reason (does its ClusterPeer for this cluster hold the current CA bundle, and do the clocks agree?)"
        ),
        AlertDescription::CertificateRequired => {
            "the peer requires a certificate and this side showed none (is the identity still waiting?)".to_owned()
        }
        AlertDescription::AccessDenied => {
            "the peer has no certificate of its own yet (is its identity still waiting?)".to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            "the peer speaks none of the offered protocols (is it a Strait gateway, and of a version near this one?)"
                .to_owned()
        }
        other => format!("the peer ended the handshake: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_inside_io_errors() {
        let reason = PeerError::Unauthenticated;
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, Error::from(reason.clone()));
        assert_eq!(explain(&wrapped), reason.to_string());
        let twice = io::Error::other(wrapped);
        assert_eq!(explain(&twice), reason.to_string());
        assert_eq!(explain(&io::Error::other("cable cut")), "cable cut");
        assert!(explain(&io::Error::from(io::ErrorKind::UnexpectedEof)).contains("without a goodbye"));
    }

    #[test]
    fn causes_below_the_first_are_told() {
        let wrapped = |kind| Wrapped(io::Error::new(kind, "connection reset"));
        assert_eq!(explain(&wrapped(io::ErrorKind::ConnectionReset)), "connection error: connection reset");
        assert!(explain(&wrapped(io::ErrorKind::UnexpectedEof)).contains("without a goodbye"));
        let plain = Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(explain(&plain).contains("not TLS"));
    }

    /// Another library's error around an I/O error.
    #[derive(Debug, thiserror::Error)]
    #[error("connection error")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn refusals_by_the_peer_name_the_likely_cause() {
        let alert = Error::AlertReceived(AlertDescription::CertificateUnknown);
        assert!(explain(&alert).contains("ClusterPeer"));
        assert!(explain(&Error::AlertReceived(AlertDescription::CertificateRequired)).contains("waiting"));
    }
}
