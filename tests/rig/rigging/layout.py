"""Names, addresses and folders: what the clusters are called and where everything lies."""
import os
import pathlib
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "strait"
BIN = pathlib.Path(os.environ.get("KUBEBUILDER_ASSETS") or CACHE / "bin")
STATE = pathlib.Path(os.environ.get("RIG_STATE") or "/var/tmp/strait-rig")
RUN = pathlib.Path("/run/strait-rig")  # sockets of containerd have short paths, so they do not live under STATE

CLUSTERS = {  # name: (number, pod CIDR, service CIDR)
    "us-west": (1, "10.11.0.0/16", "10.111.0.0/16"),
    "us-east": (2, "10.12.0.0/16", "10.112.0.0/16"),
    "eu-west": (3, "10.13.0.0/16", "10.113.0.0/16"),
}
DEFAULT_NODES = {"us-west": 2, "us-east": 1, "eu-west": 1}
RTT_MS = {("us-west", "us-east"): 65, ("us-west", "eu-west"): 140, ("us-east", "eu-west"): 75}
# A network namespace without a cluster and without delay to any of them: where an operator's laptop stands.
OPERATOR, OPERATOR_ADDRESS = "operator", "10.77.0.1"


def sh(*args, check=True, **kw):
    """Run a command; a failure raises."""
    return subprocess.run([str(a) for a in args], check=check, **kw)


def quiet(*args):
    """Run a command whose failure does not matter, as in taking down what may not be there."""
    subprocess.run([str(a) for a in args], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def address(node):
    """us-west-1 -> 10.77.0.11, us-west-2 -> 10.77.0.21"""
    cluster, index = node.rsplit("-", 1)
    return f"10.77.0.{int(index)}{CLUSTERS[cluster][0]}"


def pod_subnet(node):
    cluster, index = node.rsplit("-", 1)
    return CLUSTERS[cluster][1].replace(".0.0/16", f".{index}.0/24")


def service_address(cluster, last):
    return CLUSTERS[cluster][2].rsplit(".", 2)[0] + f".0.{last}"


def cluster_of(node):
    return node.rsplit("-", 1)[0]


def first(cluster):
    return f"{cluster}-1"


def host(name):
    """A cluster's name means its first node."""
    return first(name) if name in CLUSTERS else name


def nodes(cluster=None):
    """The nodes that are up, from the state directory."""
    found = sorted(p.name for p in STATE.glob("*-[0-9]") if p.is_dir() and cluster_of(p.name) in CLUSTERS)
    return [n for n in found if cluster in (None, cluster_of(n))]


def netns(name):
    return f"rig-{host(name)}"


def inside(name):
    """The command prefix that runs something in a node's (or the operator's) network namespace."""
    return ["nsenter", f"--net=/run/netns/{netns(name)}"]


def cgroup_roots():
    """One folder per controller with cgroup v1, the one tree with v2."""
    top = pathlib.Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return [top]
    return [p for p in top.iterdir() if p.is_dir()]


def kubectl(cluster, *args, **kw):
    return subprocess.run([*inside(cluster), str(BIN / "kubectl"), "--kubeconfig", str(STATE / first(cluster) / "admin.kubeconfig"), *args], **kw)


def wait(what, probe, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if probe():
            return
        time.sleep(0.3)
    raise SystemExit(f"rig: {what} did not happen within {seconds} s; the logs are in {STATE}/*/*.log")
