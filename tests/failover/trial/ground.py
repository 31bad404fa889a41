"""The ground everything stands on: the rig's clusters, what runs where, and where programs lie."""
import json
import os
import pathlib
import subprocess

from rigging import layout

ROOT = pathlib.Path(__file__).resolve().parents[3]
HOME, NEAR, FAR = "us-west", "us-east", "eu-west"
CLUSTERS = (HOME, NEAR, FAR)
NAMESPACE, SERVICE = "ml-production", "model-server"
REPLICAS = {HOME: 20, NEAR: 15, FAR: 10}
POD_PORT = 5678


class Trouble(SystemExit):
    """Something the person who runs this has to put right."""

    def __init__(self, said):
        super().__init__(f"failover: {said}")


def release(program):
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release" / program


def require(program):
    if not program.exists():
        raise Trouble(f"there is no {program}; `cargo build --release` makes it")


def kubectl(cluster, *args, text=None):
    """What kubectl printed; a failure ends the run with what it said."""
    done = layout.kubectl(cluster, *args, input=text, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise Trouble(f"{cluster}: kubectl {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def get(cluster, *args):
    return json.loads(kubectl(cluster, "get", *args, "-o", "json"))


def exists(cluster, *args):
    return bool(kubectl(cluster, "get", *args, "--ignore-not-found", "-o", "name").strip())


def at_home(*command):
    """The command in the namespace of the first node of us-west, where the clients and Envoy run."""
    return [*layout.inside(HOME), *map(str, command)]


def as_operator(*command):
    environment = {**os.environ, "KUBECONFIG": str(layout.STATE / "kubeconfig")}
    done = subprocess.run([*layout.inside(layout.OPERATOR), *map(str, command)], env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Trouble(f"{' '.join(map(str, command))}: {done.stderr.strip()} {done.stdout.strip()}")
    return done.stdout


def node_address(cluster):
    return layout.address(layout.first(cluster))


def containers(cluster, program, verb=None):
    """Process ids of a program (and its first argument) that runs in pods of a cluster, found by their cgroup."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            name, groups = (folder / "comm").read_text().strip(), (folder / "cgroup").read_text()
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if name == program and f"/rig-{cluster}-" in groups and "kubepods" in groups and verb in (None, *words[1:2]):
            found.append(int(folder.name))
    return found
