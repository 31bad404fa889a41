"""The run as Markdown: a table for each fault, the ways back by second, and the goals."""
import json
from statistics import median

from . import summary
from .goals import table as goals
from .ground import HOME, REPLICAS
from .shares import share
from .summary import RETURNS
from .targets import CONTROL

TITLES = {
    "F2": f"F2, SIGKILL of all {REPLICAS[HOME]} model servers at home",
    "F1": "F1, home scaled to 0",
    "F3": "F3, us-east a black hole while it serves",
    "F3h": "F3h, us-east healed",
    "F4": f"F4, home scaled back to {REPLICAS[HOME]}",
}
SHOWN = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 90, 120, 150, 180, 240, 300]


def write(out):
    """Writes summary.json and report.md and returns the latter's path."""
    found = summary.of(out)
    (out / "summary.json").write_text(json.dumps(found, indent=1))
    target = out / "report.md"
    target.write_text(text(found))
    return target


def text(found):
    parts = [head(found["run"], found["cycles"])]
    parts += [fault(step, title, found["cycles"]) for step, title in TITLES.items() if of_step(found["cycles"], step)]
    parts += [way_back(step, found["cycles"]) for step in RETURNS if of_step(found["cycles"], step)]
    parts.append(goals(found["cycles"]))
    return "\n\n".join(p for p in parts if p) + "\n"


def head(run, cycles):
    mode = "40 kept-alive connections in turn" if run["kept"] else "a new connection for each request"
    return f"""# Failover, {run["date"]}

Commit {run["commit"]}. {run["machine"]}. `tests/failover/failover {run["line"]}`: cycles: {len(cycles)}; {run["rate"]} GETs a second
and target, {mode}, limit 2 s, never a retry. Figures are median [least..most] of the cycles; times are seconds after the fault;
200 failed requests are a second of outage. `first`: first good answer from where answers then have to come from; `clean`: when the last
failed request was due. `{CONTROL}` asks us-east directly, {run["control_rate"]} times a second, and shows what ground and clients lose."""


def of_step(cycles, step):
    return [s for c in cycles for s in c["steps"] if s["step"] == step]


def fault(step, title, cycles):
    steps = of_step(cycles, step)
    notes = [f"CPU idle {span([s['idle'] * 100 for s in steps], 0)} %"]
    if any(s["first_gone_s"] is not None for s in steps):
        first, last = (span([s[key] for s in steps], 2) for key in ("first_gone_s", "last_gone_s"))
        notes.append(f"seconds until the first pod had ended: {first}, the last: {last}")
    lines = [f"## {title}", "", f"{'; '.join(notes)}.", "", "| target | sent | failed | first s | clean s | p50 ms | p99 ms | how |", "|---|---|---|---|---|---|---|---|"]
    for name in cycles[0]["targets"]:
        runs = [c["targets"][name][step] for c in cycles if step in c["targets"].get(name, {})]
        ms = lambda key: [None if r[key] is None else r[key] * 1000 for r in runs]
        first = "-" if name == CONTROL else span([r["first_s"] for r in runs], 2)
        cells = [name, span([r["sent"] for r in runs], 0), span([r["failed"] for r in runs], 0), first,
                 span([r["clean_s"] for r in runs], 2), span(ms("p50_s"), 0), span(ms("p99_s"), 0), how(runs)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def how(runs):
    """The kinds of failure, by cycle, most frequent first."""
    kinds = {k for r in runs for k in r["how"]}
    counts = {k: [r["how"].get(k, 0) for r in runs] for k in kinds}
    return ", ".join(f"{k} {'/'.join(map(str, n))}" for k, n in sorted(counts.items(), key=lambda kn: -sum(kn[1])))


def span(values, digits):
    """Median and range; `never` where it did not happen."""
    known = [v for v in values if v is not None]
    if not known:
        return "never"
    shown = f"{median(known):.{digits}f}"
    if len(values) > 1:
        shown += f" [{min(known):.{digits}f}..{max(known):.{digits}f}]"
    return shown if len(known) == len(values) else f"{shown}, never in {len(values) - len(known)} of {len(values)}"


def way_back(step, cycles):
    """Percent of a second's answers from the cluster that returns; beside it, in F4, percent of its pods that were ready."""
    cluster, earlier = RETURNS[step]
    names = [n for n in cycles[0]["targets"] if n != CONTROL]
    seconds = max(len(c["targets"][n][step]["by_second"]) for c in cycles for n in names)
    shown = [s for s in SHOWN if s < seconds]
    lines = [f"## {TITLES[step]}: answers from {cluster} by second", "",
             f"Percent of the answers to requests that were due in that second, and when the share over 3 s was 90 % of what it was at the end of {earlier}.", "",
             f"| second | {' | '.join(map(str, shown))} | full after s |", f"|---|{'---|' * (len(shown) + 1)}"]
    for name in names:
        runs = [c["targets"][name][step] for c in cycles]
        cells = [percent([share(r["by_second"][s], cluster) for r in runs if s < len(r["by_second"])]) for s in shown]
        lines.append(f"| {name} | {' | '.join(cells)} | {span([r['full_s'] for r in runs], 0)} |")
    if step == "F4":
        cells = [percent([c["ready"][s] / REPLICAS[HOME] for c in cycles if s < len(c["ready"])]) for s in shown]
        lines.append(f"| ready pods | {' | '.join(cells)} | |")
        lines += ["", *(beyond(name, [c["targets"][name][step]["beyond_ready"] for c in cycles]) for name in names)]
    return "\n".join(lines)


def percent(values):
    known = [100 * v for v in values if v is not None]
    return f"{median(known):.0f}" if known else "-"


def beyond(name, cycles):
    """How often home had more than its ready share, and when by most."""
    def told(found):
        if not found:
            return "never"
        second, share_then, ready = max(found, key=lambda f: f[1] - f[2] / REPLICAS[HOME])
        return f"in {len(found)} seconds, most in second {second}: {share_then:.0%} with {ready} of {REPLICAS[HOME]} ready"
    return f"- {name}: home had more than its ready share, by cycle: {'; '.join(map(told, cycles))}."
