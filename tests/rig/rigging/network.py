"""The nodes' network namespaces, the switch between them (../wan) and its links."""
import json
import os
import pathlib
import re
import signal
import subprocess

from .layout import (BIN, CLUSTERS, OPERATOR, OPERATOR_ADDRESS, RTT_MS, STATE, address, cluster_of, inside, netns, nodes,
                     pod_subnet, sh, wait)


def network(chosen):
    """Make a namespace for each node and the operator, wire them to the switch, and route each cluster's pods."""
    hosts = {**{n: address(n) for n in chosen}, OPERATOR: OPERATOR_ADDRESS}
    for name in hosts:
        sh("ip", "netns", "add", netns(name))
        sh("ip", "-n", netns(name), "link", "set", "lo", "up")
    set_links({}, chosen)
    start_switch(hosts)
    for name, where in hosts.items():
        sh("ip", "-n", netns(name), "addr", "add", f"{where}/24", "dev", "eth0")
        sh("ip", "-n", netns(name), "link", "set", "eth0", "up")
        sh("ip", "-n", netns(name), "route", "add", "default", "dev", "eth0")
        for key in ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.route_localnet=1"):
            sh(*inside(name), "sysctl", "-qw", key)
    neighbours(hosts)
    for n in chosen:
        for other in chosen:
            if other != n and cluster_of(other) == cluster_of(n):
                sh("ip", "-n", netns(n), "route", "add", pod_subnet(other), "via", address(other))


def start_switch(hosts):
    log = STATE / "wan.log"
    with open(log, "wb") as out:
        # The switch is the network, not a workload: it must not wait behind the pods for a core.
        p = subprocess.Popen(["nice", "-n", "-10", str(BIN / "rig-wan"), str(STATE / "links"), *(f"{h}=/run/netns/{netns(h)}" for h in hosts)],
                             stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
    (STATE / "wan.pid").write_text(str(p.pid))
    wait("the switch", lambda: b"ready" in log.read_bytes(), 10)


def neighbours(hosts):
    """Everybody knows everybody's link address for good. Between regions there is no shared link: a peer that is cut off or
    without power stays silent, and no kernel may turn that into `no route to host` because address resolution timed out."""
    links = {}
    for name in hosts:
        shown = subprocess.check_output(["ip", "-n", netns(name), "link", "show", "eth0"], text=True)
        links[name] = re.search(r"link/ether (\S+)", shown)[1]
    for name in hosts:
        for other, where in hosts.items():
            if other != name:
                sh("ip", "-n", netns(name), "neigh", "replace", where, "lladdr", links[other], "dev", "eth0", "nud", "permanent")


def set_links(changes, chosen=None):
    """Each unordered pair of clusters: {"rtt": ms, "jitter": ms, "loss": percent, "cut": bool}. The switch reads one line per
    direction and pair of nodes."""
    store = STATE / "links.json"
    if store.exists():
        links = json.loads(store.read_text())
    else:
        links = {f"{a} {b}": {"rtt": rtt, "jitter": 0, "loss": 0, "cut": False} for (a, b), rtt in RTT_MS.items()}
    for pair, change in changes.items():
        links[pair].update(change)
    store.write_text(json.dumps(links))
    lines = []
    up = chosen or nodes()
    for pair, link in links.items():
        ends = set(pair.split())
        for x in up:
            for y in up:
                if {cluster_of(x), cluster_of(y)} == ends:
                    lines.append(f"{x} {y} {int(link['rtt'] * 500)} {int(link['jitter'] * 1000)} {int(link['loss'] * 10000)} {int(link['cut'])}\n")
    partial = STATE / "links.partial"
    partial.write_text("".join(lines))
    partial.rename(STATE / "links")
    pid = switch_pid()
    if pid:
        os.kill(pid, signal.SIGHUP)
    return links


def switch_pid():
    """The running switch, or None; a number left by an earlier boot is not taken for it."""
    try:
        pid = int((STATE / "wan.pid").read_text())
        return pid if pathlib.Path(f"/proc/{pid}/exe").resolve().name == "rig-wan" else None
    except (OSError, ValueError):
        return None


def wan_command(a):
    """rig wan [A [B]] [--rtt MS] [--jitter MS] [--loss PERCENT] [--cut | --heal]: A alone means A and every other."""
    change = {k: v for k, v in (("rtt", a.rtt), ("jitter", a.jitter), ("loss", a.loss)) if v is not None}
    if a.cut or a.heal:
        change["cut"] = a.cut
    pairs = [f"{x} {y}" for x, y in RTT_MS if {a.a, a.b} - {None} <= {x, y}] if change else []
    for pair, link in set_links({p: change for p in pairs}).items():
        print(pair, link)


