//! Names, help texts and buckets.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// The histogram of the time to an answer's head, whose buckets the recorder should set to [`LATENCY_BUCKETS`].
pub const LATENCY_METRIC: &str = "strait_proxy_request_seconds";

/// Bucket bounds of [`LATENCY_METRIC`] in seconds: half a millisecond (a pod on the same node) to the request timeout,
/// with 0.25 s (a connect timeout), 0.5 s (a dead link) and 2 s (a client's usual patience) among them.
pub const LATENCY_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Registers the help texts.
pub(crate) fn describe() {
    describe_counter!(
        "strait_proxy_requests_total",
        "Requests from pods, by service, cluster that answered (the own one when none did) and outcome: ok, client_error, \
         server_error (the pod's), no_upstream, broken, timeout, overloaded, refused, abandoned"
    );
    describe_histogram!(LATENCY_METRIC, Unit::Seconds, "From a request's head to its answer's head, retries included");
    describe_gauge!("strait_proxy_requests_in_flight", "Requests whose answer has not begun, by service");
    describe_counter!("strait_proxy_retries_total", "Attempts that were followed by another, by what failed");
    describe_counter!("strait_proxy_replays_denied_total", "Replays given up because the budget stayed spent");
    describe_counter!(
        "strait_proxy_hedges_total",
        "Attempts beside one that stayed silent, by outcome: sent, won (it answered first), no_room (in the budget), \
         no_place (to send it)"
    );
    describe_counter!(
        "strait_proxy_fast_path_total",
        "Plain requests that took the fast path, by outcome: answered, handed_over (to the path of all other requests)"
    );
    describe_counter!("strait_proxy_ejections_total", "Targets ejected, by kind: pod, gateway");
    describe_counter!("strait_proxy_checks_total", "Connections made only to see whether a pod is there, by outcome");
    describe_counter!("strait_proxy_clients_cut_total", "Client connections cut, by reason");
    describe_counter!(
        "strait_proxy_streams_cut_total",
        "HTTP/2 streams reset because their client did not take the answer for too long"
    );
    describe_gauge!(
        "strait_proxy_connections",
        "Open connections, by kind: client, gateway, tunnel (two joined within the cluster), crossing (raw or upgraded, to or \
         from another cluster)"
    );
    describe_gauge!("strait_proxy_parked_connections", "Idle client connections that have given up their buffers");
    describe_counter!(
        "strait_proxy_tunnels_refused_total",
        "Raw and upgraded connections not taken across clusters because too many are open"
    );
    describe_gauge!("strait_proxy_share", "Part of a service's requests that each cluster gets, 0 to 1");
    describe_gauge!(
        "strait_proxy_endpoints",
        "Endpoints of the own cluster and gateways of others, by service and state"
    );
    describe_gauge!("strait_proxy_links", "Live connections to the gateways of each cluster, over all workers");
    describe_gauge!("strait_proxy_link_rtt_seconds", Unit::Seconds, "Newest measured round trip to each cluster");
    describe_counter!("strait_proxy_links_dead_total", "Links declared dead for silence, by cluster");
    describe_counter!("strait_proxy_link_dial_failures_total", "Failed connections to gateways, by cluster and reason");
    describe_counter!("strait_gateway_requests_total", "Requests from other clusters, by cluster and outcome");
    describe_counter!(
        "strait_gateway_handshake_failures_total",
        "Connections to the gateway port not let in, by reason"
    );
}
