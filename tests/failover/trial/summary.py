"""The files of a run to figures: {"run": ..., "cycles": [{"steps": [...], "targets": {name: {step: figures}}}]}."""
import json

from . import figures, shares
from .ground import HOME, NEAR
from .samples import read
from .targets import CONTROL

# Steps in which a cluster returns, which one, and the step before which shows the share it had.
RETURNS = {"F3h": (NEAR, "F1"), "F4": (HOME, "settle")}
# What the share before is taken from: the end of that step, when it has settled.
SETTLED = 10.0


def of(out):
    cycles = [cycle(folder) for folder in sorted(out.glob("cycle-*"))]
    return {"run": json.loads((out / "run.json").read_text()), "cycles": cycles}


def cycle(folder):
    steps = contiguous([json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()])
    changes = ready_changes(folder / "ready.tsv")
    targets = {file.stem: target(read(file), steps, changes, file.stem) for file in sorted(folder.glob("*.tsv")) if file.stem != "ready"}
    return {"steps": steps, "ready": ready_by_second(steps, changes), "targets": targets}


def contiguous(steps):
    """A step lasts until the next one begins: between them the runner looked at processes, and requests went on."""
    ends = [s["begin"] for s in steps[1:]] + [s["until"] for s in steps[-1:]]
    return [{**s, "until": end} for s, end in zip(steps, ends)]


def ready_changes(file):
    rows = [line.split("\t") for line in file.read_text().splitlines()]
    return sorted((float(when), int(ready)) for when, ready in rows)


def ready_by_second(steps, changes):
    """Most pods ready at home in each second of F4."""
    for step in steps:
        if step["step"] == "F4":
            return [shares.most_ready(changes, step["begin"] + i, step["begin"] + i + 1) for i in range(int(step["until"] - step["begin"]))]
    return []


def target(samples, steps, changes, name):
    found, by_name = {}, {s["step"]: s for s in steps}
    for step in steps:
        begin, until = step["begin"], step["until"]
        f = figures.of(samples, step["step"], begin, until)
        if step["step"] in RETURNS and name != CONTROL:
            f.update(way_back(samples, step, by_name, changes))
        found[step["step"]] = f
    return found


def way_back(samples, step, by_name, changes):
    cluster, earlier = RETURNS[step["step"]]
    seconds = shares.by_second(samples, step["begin"], step["until"])
    before = by_name.get(earlier)
    due = before and shares.usual(samples, cluster, before["until"] - SETTLED, before["until"])
    found = {"by_second": seconds, "due": due, "full_s": shares.full_again(seconds, cluster, due) if due else None}
    if step["step"] == "F4":
        found["beyond_ready"] = shares.beyond_ready(seconds, changes, step["begin"])
    return found
