//! The order.

use anyhow::Result;

use crate::world::World;
use crate::{checks, database, faults, protocols, setup, undo};

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything after it needs it; it can run again on clusters where it has run before.
    Setup,
    /// Proves something, and leaves the clusters as it found them.
    Proof,
}

/// Whether a step can run once more when this machine was too busy to judge it.
#[derive(Clone, Copy)]
pub enum Again {
    /// It cannot: what it did cannot be undone.
    Never,
    /// It can, once everything is as before it.
    After(fn(&mut World) -> Result<()>),
}

/// One test.
pub struct Step {
    pub name: &'static str,
    pub kind: Kind,
    pub again: Again,
    pub run: fn(&mut World) -> Result<()>,
}

const fn setup(name: &'static str, run: fn(&mut World) -> Result<()>) -> Step {
    Step { name, kind: Kind::Setup, again: Again::Never, run }
}

const fn proof(name: &'static str, run: fn(&mut World) -> Result<()>) -> Step {
    Step { name, kind: Kind::Proof, again: Again::Never, run }
}

/// One that leaves everything as it found it, whatever it proved.
const fn repeatable(name: &'static str, run: fn(&mut World) -> Result<()>) -> Step {
    Step { again: Again::After(|_| Ok(())), ..proof(name, run) }
}

/// One whose act can be undone.
const fn undoable(name: &'static str, run: fn(&mut World) -> Result<()>, undo: fn(&mut World) -> Result<()>) -> Step {
    Step { again: Again::After(undo), ..proof(name, run) }
}

/// All of them in order; `full` adds the rest of the matrix.
pub fn all(full: bool) -> Vec<Step> {
    let mut steps = vec![
        setup("install", setup::install),
        setup("join", setup::join),
        setup("coredns-install", setup::coredns_install),
        setup("samples", setup::samples),
        setup("service-after-join", setup::service_after_join),
        setup("clients", setup::clients),
        proof("curl", checks::curl),
        proof("dig", checks::dig),
        proof("metrics", checks::metrics),
        proof("columns", checks::columns),
        proof("h2c", protocols::h2c),
        proof("grpc", protocols::grpc),
        proof("events", protocols::events),
        proof("bodies", protocols::bodies),
        proof("websocket", protocols::websocket),
        proof("psql", database::psql),
        repeatable("steady", faults::pods::steady),
        undoable("pods-killed", faults::pods::killed, faults::pods::fresh_at_home),
        undoable("scale-to-zero", faults::pods::scale_to_zero, |w| faults::pods::back_home(w)),
        undoable("region-cut", faults::network::region_cut, faults::network::heal_near),
        undoable("region-healed", faults::network::region_healed, faults::network::cut_near),
        undoable("scale-back", faults::pods::scale_back, faults::pods::nobody_home),
        repeatable("model-servers-restarted", faults::pods::restarted),
        repeatable("agents-restarted", faults::agents::restarted),
        repeatable("gateway-restarted", faults::agents::gateway_restarted),
        repeatable("unexport", faults::exports::unexport_everywhere),
        proof("controller-killed", faults::exports::controller_killed),
        repeatable("api-server-down", faults::control::api_server_down),
        repeatable("kubelet-silent", faults::node::kubelet_silent),
        repeatable("garbage", faults::junk::garbage),
        proof("agent-killed", faults::agents::killed),
    ];
    if full {
        steps.extend([
            proof("scale-to-zero-again", faults::pods::scale_to_zero),
            proof("remote-model-servers-restarted", faults::pods::remote_restarted),
            proof("remote-agents-restarted", faults::agents::remote_restarted),
            proof("remote-agent-killed", faults::agents::remote_killed),
            proof("remote-pods-killed", faults::pods::remote_killed),
            proof("remote-api-server-down", faults::control::remote_api_server_down),
            proof("lossy-links", faults::network::lossy),
            proof("far-region-cut", faults::network::far_region_cut),
            proof("far-region-healed", faults::network::far_region_healed),
            proof("scale-back-again", faults::pods::scale_back),
            proof("scale-to-a-tenth", faults::pods::scale_to_a_tenth),
            proof("cut-off", faults::network::cut_off),
            proof("api-server-down-and-pods-killed", faults::control::api_server_down_and_pods_killed),
        ]);
    }
    steps.extend([
        proof("node-crash", faults::node::crash),
        proof("undo-each-alone", undo::each_alone),
        proof("undo-all", undo::all),
    ]);
    steps
}
