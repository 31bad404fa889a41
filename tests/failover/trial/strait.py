"""Strait, installed as deploy/ and the README say, and taken away again."""
from .favour import favour
from .ground import CLUSTERS, HOME, NAMESPACE, SERVICE, Trouble, as_operator, containers, exists, get, kubectl
from .service import wait

SYSTEM = "strait-system"
LISTENERS = "strait.dev/listeners"


def is_installed():
    return exists(HOME, "namespace", SYSTEM)


def install_kinds():
    """Of the Multi-Cluster Services API, which the sample uses with and without Strait."""
    for cluster in CLUSTERS:
        kubectl(cluster, "apply", "--server-side", "-k", "deploy/mcs")
        kubectl(cluster, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def install(program):
    for cluster in CLUSTERS:
        kubectl(cluster, "apply", "-k", f"deploy/clusters/{cluster}")
    for cluster in CLUSTERS:
        for workload in ("daemonset/strait-agent", "deployment/strait-controller"):
            kubectl(cluster, "-n", SYSTEM, "rollout", "status", workload, "--timeout=180s")
    as_operator(program, "join", *CLUSTERS)


def remove():
    """Clusters, then the kinds: `strait leave` first would only wait for names that nobody has asked for."""
    for folder in ("deploy/clusters/{}", "deploy/mcs"):
        for cluster in CLUSTERS:
            kubectl(cluster, "delete", "-k", folder.format(cluster), "--ignore-not-found", "--wait=false")
    for cluster in CLUSTERS:
        wait(f"{cluster}: namespace {SYSTEM} gone", lambda: not exists(cluster, "namespace", SYSTEM))


def address():
    """The address under which the service is imported at home."""
    def imported():
        if not exists(HOME, "-n", NAMESPACE, "serviceimport", SERVICE):
            return None
        found = get(HOME, "-n", NAMESPACE, "serviceimport", SERVICE)
        ips = found.get("spec", {}).get("ips") or []
        return ips[0] if ips and LISTENERS in found["metadata"].get("annotations", {}) else None
    wait("the import of the service in us-west", imported)
    return imported()


def favour_agents():
    """Every agent is in the way of requests: at home as the proxy, elsewhere as the gateway. Again after a restart."""
    for cluster in CLUSTERS:
        agents = containers(cluster, "strait", "agent")
        if not agents:
            raise Trouble(f"{cluster}: no agent runs")
        for pid in agents:
            favour(pid)
