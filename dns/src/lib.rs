//! Multi-cluster DNS: a pure function from question to answer, a UDP path without allocation, and TCP.
//!
//! **Owns** the names under the clusterset zone ([`Zone`]), the parsing of queries, the decision what to answer
//! ([`answer`]), its encoding ([`respond`]), and the sockets it is served on ([`DnsServer`]).
//! **Never does**: talk to Kubernetes, resolve names of other zones, hold state of its own, or write to the catalog.
//! Every answer is derived from one [`Snapshot`](strait_catalog::Snapshot).
//!
//! ```text
//! UDP datagram ─► question::parse ─► answer(question, snapshot, zone) ─► encode ─► datagram      (no allocation)
//! TCP message  ─► question::parse ─► Handler (hickory RequestHandler) ─► same answer ─► message
//!                                            ▲
//!                            Published ──► Arc<Snapshot>
//! ```
//!
//! Names follow the MCS DNS specification (KEP-1645, schema 1.0.0): `<svc>.<ns>.svc.<zone>` with A and AAAA of the
//! ClusterSetIPs and SRV of the ports, `_<port>._<proto>.<svc>.<ns>.svc.<zone>` with SRV, `dns-version.<zone>` with TXT.
//!
//! **Limits.** An imported *headless* service has names that exist but hold no records yet: every name at or below
//! `<svc>.<ns>.svc.<zone>` answers NODATA, never NXDOMAIN, since pods may stand behind it.

mod admission;
mod answer;
mod bind;
mod encode;
mod handler;
mod locate;
mod metrics;
mod name;
mod question;
mod rcode;
mod records;
mod respond;
mod server;
mod tcp;
mod typed;
mod udp;
mod zone;

pub use answer::{Answer, answer};
pub use handler::Handler;
pub use name::{MAX_NAME, QueryName};
pub use question::{Edns, Parsed, Query, Question, RecordType, parse};
pub use rcode::Rcode;
pub use records::{Data, Family, Owner, Rrset, Set};
pub use respond::{MAX_UDP_PAYLOAD, Reply, Transport, respond};
pub use server::{DnsConfig, DnsHandle, DnsServer, TcpLimits};
pub use zone::{Zone, ZoneConfig, ZoneError};
