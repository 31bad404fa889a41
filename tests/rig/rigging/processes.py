"""Starting and ending the processes of the rig, and only those."""
import json
import os
import pathlib
import signal
import subprocess
import time

from .layout import BIN, STATE, cgroup_roots, host, inside


def start(node, name, *args):
    """Start a component in its node's namespace; its log, process id and arguments are kept beside each other."""
    folder = STATE / node
    program = str(BIN / args[0]) if (BIN / args[0]).exists() else args[0]
    with open(folder / f"{name}.log", "ab") as log:
        p = subprocess.Popen([*inside(node), program, *map(str, args[1:])], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                             start_new_session=True, env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin"})
    (folder / f"{name}.pid").write_text(str(p.pid))
    (folder / f"{name}.args").write_text(json.dumps([str(a) for a in args]))


def component_file(a, suffix):
    f = STATE / host(a.node) / f"{a.component}.{suffix}"
    if not f.exists():
        known = sorted(p.stem for p in f.parent.glob("*.args"))
        raise SystemExit(f"rig: {host(a.node)} has no {a.component}: {', '.join(known) or 'it is not up'}")
    return f


def stop_command(a):
    """rig stop NODE COMPONENT: kill -9 one component (kube-apiserver, kubelet, ...); `rig start` runs it again."""
    pid = int(component_file(a, "pid").read_text())
    if pid not in in_namespace(f"rig-{host(a.node)}"):
        raise SystemExit(f"rig: {a.component} of {host(a.node)} is not running")
    os.kill(pid, signal.SIGKILL)


def start_command(a):
    args = json.loads(component_file(a, "args").read_text())
    pid = int(component_file(a, "pid").read_text())
    if pid in in_namespace(f"rig-{host(a.node)}"):
        raise SystemExit(f"rig: {a.component} of {host(a.node)} is running")
    start(host(a.node), a.component, *args)


def in_namespace(name):
    return {int(p) for p in subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()}


def processes(prefix=""):
    """Every process in the network namespaces and container cgroups of the nodes whose name starts with the prefix."""
    pids = set()
    for name in namespaces():
        if name.startswith(f"rig-{prefix}"):
            pids |= in_namespace(name)
    for root in cgroup_roots():
        for procs in root.glob(f"rig-{prefix}*/**/cgroup.procs"):
            try:
                pids.update(int(p) for p in procs.read_text().split())
            except OSError:
                pass
    return pids - {os.getpid()}


def namespaces():
    lines = subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout.splitlines()
    return [l.split(" ")[0] for l in lines if l.startswith("rig-")]


def kill(pids, seconds=10):
    """SIGKILL, and wait until they are gone."""
    for p in pids:
        try:
            os.kill(p, signal.SIGKILL)
        except OSError:
            pass
    end = time.monotonic() + seconds
    while any(alive(p) for p in pids) and time.monotonic() < end:
        time.sleep(0.1)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except (OSError, IndexError):
        return False
