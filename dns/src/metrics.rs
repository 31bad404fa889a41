//! What this crate counts. Handles are resolved once; labels are bounded.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::rcode::Rcode;
use crate::respond::{Reply, Transport};

const TRANSPORTS: [(Transport, &str); 2] = [(Transport::Udp, "udp"), (Transport::Tcp, "tcp")];

/// The handles of one server.
pub(crate) struct Metrics {
    answered: [[Counter; Rcode::ALL.len()]; 2],
    dropped: [Counter; 2],
    truncated: Counter,
    unsent: Counter,
    socket_errors: [Counter; 2],
    connections: Gauge,
    connections_refused: Counter,
    told: Mutex<Option<Instant>>,
}

/// Between two log lines about messages that cannot be read.
const QUIET: Duration = Duration::from_secs(10);

impl Metrics {
    pub(crate) fn new() -> Self {
        describe();
        let by_transport = |name: &'static str| TRANSPORTS.map(|(_, t)| counter!(name, "transport" => t));
        Self {
            answered: TRANSPORTS.map(|(_, transport)| {
                Rcode::ALL.map(
                    |rcode| counter!("strait_dns_queries_total", "transport" => transport, "rcode" => rcode.as_str()),
                )
            }),
            dropped: by_transport("strait_dns_malformed_dropped_total"),
            truncated: counter!("strait_dns_truncated_total"),
            unsent: counter!("strait_dns_unsent_total"),
            socket_errors: by_transport("strait_dns_socket_errors_total"),
            connections: gauge!("strait_dns_tcp_connections"),
            connections_refused: counter!("strait_dns_tcp_connections_refused_total"),
            told: Mutex::default(),
        }
    }

    /// Counts what became of a client's message. A line now and then tells who sends what cannot be read.
    pub(crate) fn count(&self, transport: Transport, client: SocketAddr, reply: Reply) {
        if matches!(reply, Reply::Silent | Reply::Ready { rcode: Rcode::FormErr, .. }) && self.may_tell() {
            tracing::info!(%client, transport = TRANSPORTS[transport as usize].1, "a message on the DNS port is no DNS question");
        }
        match reply {
            Reply::Silent => self.dropped[transport as usize].increment(1),
            Reply::Ready { rcode, truncated } => {
                self.answered[transport as usize][rcode as usize].increment(1);
                if truncated {
                    self.truncated.increment(1);
                }
            }
        }
    }

    fn may_tell(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let may = told.is_none_or(|at| at.elapsed() >= QUIET);
        if may {
            *told = Some(Instant::now());
        }
        may
    }

    pub(crate) fn count_unsent(&self) {
        self.unsent.increment(1);
    }

    pub(crate) fn count_socket_error(&self, transport: Transport) {
        self.socket_errors[transport as usize].increment(1);
    }

    pub(crate) fn count_refused_connection(&self) {
        self.connections_refused.increment(1);
    }

    pub(crate) const fn connections(&self) -> &Gauge {
        &self.connections
    }
}

fn describe() {
    let counters = [
        ("strait_dns_queries_total", "DNS messages answered, by transport and response code"),
        ("strait_dns_malformed_dropped_total", "DNS messages dropped in silence: cut short, or responses"),
        ("strait_dns_truncated_total", "DNS answers that did not fit and said so (TC)"),
        ("strait_dns_unsent_total", "DNS answers over UDP that could not be sent, mostly for want of buffers"),
        ("strait_dns_socket_errors_total", "errors of receiving, accepting or reading on DNS sockets"),
        ("strait_dns_tcp_connections_refused_total", "TCP connections closed at once because a limit was reached"),
    ];
    for (name, help) in counters {
        describe_counter!(name, Unit::Count, help);
    }
    describe_gauge!("strait_dns_tcp_connections", Unit::Count, "open DNS connections over TCP");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_stand_where_their_discriminants_point() {
        for (at, rcode) in Rcode::ALL.into_iter().enumerate() {
            assert_eq!(rcode as usize, at);
        }
        for (at, (transport, _)) in TRANSPORTS.into_iter().enumerate() {
            assert_eq!(transport as usize, at);
        }
    }
}
