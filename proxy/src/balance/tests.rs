//! The whole balancer against simulated pods and gateways, on a simulated clock.

mod health;
mod policies;
mod queueing;
mod routes;
mod spilling;
mod world;
