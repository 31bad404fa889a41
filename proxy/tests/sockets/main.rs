//! The data plane over real loopback sockets: real pods, real gateways, real mTLS.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod changes;
mod checks;
mod client;
mod deadlines;
mod detect;
mod extended_connect;
mod failover;
mod fast_path;
mod framing;
mod gateway;
mod grpc;
mod half_closed;
mod hedging;
mod hints;
mod joined;
mod kept;
mod local;
mod pair;
mod plain;
mod pod;
mod policies;
mod psql;
mod queues;
mod raw;
mod relay;
mod request_bodies;
mod rules;
mod shared_links;
mod silent;
mod site;
mod streams;
mod upgrades;
mod urgency;
