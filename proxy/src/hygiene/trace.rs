//! Who stands where on the way of a message: `Via`, `X-Forwarded-For` and `Forwarded`.

use std::net::IpAddr;
use std::rc::Rc;

use http::Version;
use http::header::{self, HeaderValue};
use http::request::Parts;

use super::names::X_FORWARDED_FOR;
use super::{Refused, tokens};

/// How often this cluster may already stand in `Via`. Pods that are proxies themselves copy the field from request to
/// request, so one appearance is no loop; a loop reaches any number.
const MAX_VIA: usize = 8;

/// This cluster's name in `Via`, with the elements made of it: one for all connections of a worker.
#[derive(Debug)]
pub(crate) struct Pseudonym {
    /// `<cluster>.strait`.
    name: String,
    via_10: HeaderValue,
    via_11: HeaderValue,
    via_20: HeaderValue,
}

/// What one client's requests get, prepared once per connection.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pseudonym: Rc<Pseudonym>,
    address: HeaderValue,
    pub(super) forwarded: HeaderValue,
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("labels and addresses are visible ASCII")
}

impl Pseudonym {
    /// The cluster's.
    pub(crate) fn new(cluster: &str) -> Rc<Self> {
        let name = format!("{cluster}.strait");
        Rc::new(Self {
            via_10: value(format!("1.0 {name}")),
            via_11: value(format!("1.1 {name}")),
            via_20: value(format!("2.0 {name}")),
            name,
        })
    }

    /// The `Via` element for a message received in that version.
    const fn via(&self, received: Version) -> &HeaderValue {
        match received {
            Version::HTTP_10 => &self.via_10,
            Version::HTTP_2 => &self.via_20,
            _ => &self.via_11,
        }
    }
}

impl Trace {
    /// The values this connection's requests get.
    pub(crate) fn new(client: IpAddr, pseudonym: &Rc<Pseudonym>) -> Self {
        let client = client.to_canonical();
        let node = match client {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("\"[{v6}]\""),
        };
        Self {
            address: value(client.to_string()),
            forwarded: value(format!("for={node};by={}", pseudonym.name)),
            pseudonym: pseudonym.clone(),
        }
    }

    /// The client's address, for people.
    pub(crate) fn client(&self) -> &str {
        self.address.to_str().unwrap_or_default()
    }

    /// The `Via` element for a message received in that version.
    pub(crate) fn via(&self, received: Version) -> &HeaderValue {
        self.pseudonym.via(received)
    }

    /// Appends Via, X-Forwarded-For and Forwarded, as new lines: earlier lines stay as they came.
    ///
    /// # Errors
    /// [`Refused::Loop`].
    pub(crate) fn stamp(&self, head: &mut Parts) -> Result<(), Refused> {
        self.stamp_via(head)?;
        head.headers.append(X_FORWARDED_FOR, self.address.clone());
        head.headers.append(header::FORWARDED, self.forwarded.clone());
        Ok(())
    }

    /// Writes the same lines into a head of HTTP/1.1 whose client has said no Via.
    pub(crate) fn write(&self, head: &mut Vec<u8>) {
        let (via, address, forwarded) = (self.via(Version::HTTP_11), &self.address, &self.forwarded);
        for part in [&b"via: "[..], via.as_bytes(), b"\r\nx-forwarded-for: ", address.as_bytes()] {
            head.extend_from_slice(part);
        }
        for part in [&b"\r\nforwarded: "[..], forwarded.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }

    /// Appends Via alone: for the second hop of a request that this mesh forwarded to itself.
    ///
    /// # Errors
    /// [`Refused::Loop`].
    pub(crate) fn stamp_via(&self, head: &mut Parts) -> Result<(), Refused> {
        let own = |element: &str| element.split_ascii_whitespace().nth(1) == Some(self.pseudonym.name.as_str());
        if tokens(&head.headers, &header::VIA).filter(|e| own(e)).count() >= MAX_VIA {
            return Err(Refused::Loop);
        }
        head.headers.append(header::VIA, self.via(head.version).clone());
        Ok(())
    }
}
