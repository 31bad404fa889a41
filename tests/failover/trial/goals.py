"""What Strait is to reach, and whether every cycle did."""
FIRST_S = {"F1": 0.35, "F2": 0.35, "F3": 0.5, "F3h": 3.0}
FAULTS = ("F1", "F2", "F3", "F3h", "F4")
TARGET = "strait"


def judged(cycles):
    """[(goal, what was seen in each cycle, reached in all)]"""
    runs = [c["targets"][TARGET] for c in cycles if TARGET in c["targets"]]
    found = []
    for step in FAULTS:
        seen = [r[step]["failed"] for r in runs if step in r]
        found.append((f"{step}: no failed request", seen, not any(seen)))
    for step, limit in FIRST_S.items():
        seen = [r[step]["first_s"] for r in runs if step in r]
        found.append((f"{step}: first right answer within {limit} s", seen, all(s is not None and s <= limit for s in seen)))
        if step in ("F1", "F2"):
            found.append(after_first_gone(step, limit, cycles, seen))
    seen = [len(r["F4"]["beyond_ready"]) for r in runs if "F4" in r]
    found.append(("F4: no second in which home has more than its ready share", seen, not any(seen)))
    return [f for f in found if f[1]]


def after_first_gone(step, limit, cycles, firsts):
    """The same from when the first pod had ended: before that there is nothing to notice."""
    gone = [s["first_gone_s"] for c in cycles for s in c["steps"] if s["step"] == step]
    seen = [None if None in (f, g) else max(0.0, f - g) for f, g in zip(firsts, gone)]
    return f"{step}: the same, from when the first pod had ended", seen, all(s is not None and s <= limit for s in seen)


def table(cycles):
    rows = judged(cycles)
    if not rows:
        return ""
    show = lambda v: "never" if v is None else f"{v:.2f}" if isinstance(v, float) else str(v)
    lines = ["## Goals", "", "| goal | by cycle | reached |", "|---|---|---|"]
    return "\n".join(lines + [f"| {goal} | {', '.join(map(show, seen))} | {'yes' if ok else 'no'} |" for goal, seen, ok in rows])
