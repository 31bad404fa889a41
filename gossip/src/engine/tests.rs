//! Tests of the engine without the simulator.
