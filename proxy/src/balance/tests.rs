//! The whole balancer against simulated pods and gateways, on a simulated clock.

mod checking;
mod doubt;
mod gossip;
mod health;
mod hedging;
pub(super) mod inputs;
mod panic;
mod policies;
mod pressed;
mod properties;
mod queueing;
mod routes;
mod spilling;
mod world;
