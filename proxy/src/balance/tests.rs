//! The whole balancer against simulated pods and gateways, on a simulated clock.

mod health;
mod policies;
mod pressed;
mod properties;
mod queueing;
mod routes;
mod spilling;
mod world;
