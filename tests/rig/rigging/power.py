"""All of it up, all of it down, and a node whose power fails."""
import os
import pathlib
import shutil
import time

from .authority import authority, merged_kubeconfig
from .build import PROGRAMS, deps
from .coredns import coredns
from .images import base_images
from .layout import BIN, CLUSTERS, DEFAULT_NODES, RUN, STATE, cgroup_roots, cluster_of, kubectl, netns, nodes, quiet, sh, wait
from .network import network, switch_pid
from .plane import control_plane, join
from .processes import alive, kill, namespaces, processes


def up(a):
    """Start the clusters; when that fails, take down what was started before saying why."""
    missing = [b for b in PROGRAMS if not (BIN / b).exists()]
    if missing:
        raise SystemExit(f"rig: {', '.join(missing)} not found in {BIN}: run `rig build` first")
    if nodes() or namespaces():
        raise SystemExit("rig: it is up, or was not taken down: run `rig down` first")
    deps()
    counts = dict(zip(CLUSTERS, map(int, a.nodes.split(",")))) if a.nodes else DEFAULT_NODES
    chosen = [f"{c}-{i}" for c in CLUSTERS for i in range(1, counts.get(c, 0) + 1)]
    try:
        bring_up(chosen, [c for c in CLUSTERS if counts.get(c)])
    except BaseException:
        kept = STATE / "failed-logs"
        keep_logs(kept)
        down(a)
        print(f"rig: did not come up; its logs are in {kept}", flush=True)
        raise


def bring_up(chosen, clusters):
    started = time.monotonic()

    def say(what):
        print(f"{what} {time.monotonic() - started:.0f}s", flush=True)

    sh("mount", "--make-rshared", "/")
    base_images()
    for n in chosen:
        (STATE / n).mkdir(parents=True)
    network(chosen)
    for c in clusters:
        authority(c)
        control_plane(c)
        say(f"{c}: control plane")
    merged_kubeconfig(clusters)
    for n in chosen:
        join(n)
        say(f"{n}: Ready")
    for c in clusters:
        coredns(c)
    for c in clusters:
        wait(f"{c}: CoreDNS ready", lambda: b"1" in kubectl(c, "-n", "kube-system", "get", "deploy", "coredns", "-o", "jsonpath={.status.readyReplicas}", capture_output=True).stdout)
    say("up:")


def keep_logs(kept):
    shutil.rmtree(kept, ignore_errors=True)
    for log in [*STATE.glob("*/*.log"), *STATE.glob("wan.log")]:
        (kept / log.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(log, kept / log.parent.name / log.name)


def crash_command(a):
    """rig crash NODE: the power fails. Its link goes silent (a black hole, no refusals), then every process dies; only `rig down`
    and `rig up` bring it back."""
    if a.node not in nodes():
        raise SystemExit(f"rig: no node {a.node}: {', '.join(nodes())}")
    sh("ip", "-n", netns(a.node), "link", "set", "eth0", "down")
    kill(processes(a.node), seconds=0)


def down_command(a):
    """rig down [--after PID]: with --after, wait until that process has ended, however it ended."""
    while a.after and alive(a.after):
        time.sleep(0.3)
    down()


def down(_=None):
    """End only what the rig started: the processes in its namespaces and in its containers' cgroups, and the switch."""
    for _ in range(3):  # a process that was starting another one
        pids = processes() | ({switch_pid()} - {None})
        if not pids:
            break
        kill(pids)
    unmount()
    for name in namespaces():
        quiet("ip", "netns", "del", name)
    for n in [p for p in STATE.glob("*-[0-9]*") if p.is_dir() and cluster_of(p.name) in CLUSTERS]:
        shutil.rmtree(n, ignore_errors=True)
    shutil.rmtree(RUN, ignore_errors=True)
    remove_cgroups()
    for f in ("wan.pid", "wan.log", "links", "links.json", "links.partial", "kubeconfig"):
        (STATE / f).unlink(missing_ok=True)


def unmount():
    for _ in range(3):  # mounts stack
        for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
            where = line.split()[1]
            if where.startswith((f"{STATE}/", f"{RUN}/", "/run/netns/rig-")):
                quiet("umount", "-l", where)


def remove_cgroups():
    for root in cgroup_roots():
        for folder in root.glob("rig-*"):
            inner = sorted((p for p in folder.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts))
            for sub in [*inner, folder]:
                try:
                    os.rmdir(sub)
                except OSError:
                    pass
