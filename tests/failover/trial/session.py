"""A whole run: what is missing is set up, the cycles are played, and what was set up is removed again."""
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

from rigging import layout

from . import cycle, envoy, faults, load, report, service, strait, targets
from .ground import HOME, NAMESPACE, REPLICAS, ROOT, CLUSTERS, Trouble, exists, require


def run(a):
    names = targets.chosen(a.targets)
    check(a)
    program = envoy.find(a.envoy) if any(n.startswith("envoy") for n in names) else None
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "run.json").write_text(json.dumps(about(a), indent=1))
    installed = strait.is_installed()
    lineup = targets.Lineup(names, a.rate)
    with tempfile.TemporaryDirectory(prefix="strait-failover-") as work:
        try:
            prepare(a, installed)
            lineup.start(work, program)
            for i in range(a.cycles):
                one(a, i, lineup)
        finally:
            lineup.stop()
            faults.cut(False)
            if not a.keep:
                say("removing what was set up")
                service.down()
                if not installed:
                    strait.remove()
    print(report.write(a.out).read_text())
    say(f"report, summary and samples are in {a.out}")


def check(a):
    """Everything that would end a run halfway, before it begins."""
    if os.geteuid() != 0:
        raise Trouble("network namespaces need root")
    missing = [c for c in CLUSTERS if not layout.nodes(c)]
    if missing:
        raise Trouble(f"{', '.join(missing)}: not up; `cargo xtask rig up` first, or `cargo xtask failover`, which does it")
    for program in (a.load, a.strait):
        require(program)
    if list(a.out.glob("cycle-*")):
        raise Trouble(f"{a.out} holds the samples of another run")
    if not a.keep and exists(HOME, "namespace", NAMESPACE):
        raise Trouble(f"us-west has a namespace {NAMESPACE}, which this run would remove at its end; delete it first, or say --keep")


def prepare(a, installed):
    if not installed:
        strait.install_kinds()
        if "strait" in targets.chosen(a.targets):
            say("installing Strait")
            strait.install(a.strait)
    say("starting the service: " + ", ".join(f"{n} in {c}" for c, n in REPLICAS.items()))
    service.up()


def one(a, i, lineup):
    service.scale(REPLICAS[HOME])
    service.wait_ready(HOME, REPLICAS[HOME])
    folder = a.out / f"cycle-{i + 1}"
    away = load.wait_home(a.load, lineup, a.out)
    if away:
        raise Trouble(f"{', '.join(away)}: not served by {HOME} alone, though all its pods are ready")
    say(f"cycle {i + 1} of {a.cycles}, about {sum(cycle.WATCH.values()) / 60:.0f} minutes")
    cycle.run(folder, lineup, a.load, a.kept, {**cycle.WATCH, **a.watch}, a.jitter)


def about(a):
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    model = [l.split(":", 1)[1].strip() for l in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if l.startswith("model name")]
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "commit": commit or "unknown", "kept": a.kept,
            "rate": a.rate, "control_rate": targets.CONTROL_RATE, "line": " ".join(sys.argv[1:]),
            "machine": f"{os.cpu_count()} CPUs ({model[0] if model else 'unknown'}), Linux {platform.release()} {platform.machine()}"}


def say(what):
    print(f"{datetime.datetime.now():%H:%M:%S} {what}", flush=True)
