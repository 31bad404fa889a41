"""What one target did in one step. Pure: samples and times in, figures out."""
from .ground import FAR, HOME, NEAR

# Where answers have to come from after each fault.
RIGHT = {
    "settle": {HOME}, "F2": {NEAR, FAR}, "F1": {NEAR, FAR}, "F3": {FAR}, "F3h": {NEAR}, "F4": {HOME},
}
# A request that was due so shortly before a fault and failed after it was harmed by this fault: without one it takes a round trip.
IN_FLIGHT = 0.3
# A step in whose last seconds more than one in a hundred fails has not come to an end.
TAIL, TAIL_SHARE = 3.5, 0.01


def belonging(samples, begin, until):
    """A request belongs to the step in which it was due; a failed one that was in flight when a step began, to that step."""
    def step_begins_inside(s, moment):
        return not s.good and moment - IN_FLIGHT <= s.due < moment <= s.end
    return [s for s in samples if (begin <= s.due < until and not step_begins_inside(s, until)) or step_begins_inside(s, begin)]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


def of(samples, step, begin, until):
    """Times are seconds after the fault."""
    mine = belonging(samples, begin, until)
    good, bad = [s for s in mine if s.good], [s for s in mine if not s.good]
    kinds = {}
    for s in bad:
        name = s.kind if s.place == "-" else f"{s.kind} {s.place}"
        kinds[name] = kinds.get(name, 0) + 1
    first = min((s.end for s in good if s.place in RIGHT[step]), default=None)
    return {
        "sent": len(mine), "failed": len(bad), "how": kinds, "late": sum(s.kind == "late" for s in bad),
        "first_s": None if first is None else max(0.0, first - begin),
        "clean_s": clean(mine, bad, begin, until),
        "p50_s": percentile([s.took for s in good], 0.50), "p99_s": percentile([s.took for s in good], 0.99),
    }


def clean(mine, bad, begin, until):
    """When the last failed request was due, 0 without one, None when requests still fail at the end."""
    tail = [s for s in mine if s.due >= until - TAIL]
    if tail and sum(not s.good for s in tail) > len(tail) * TAIL_SHARE:
        return None
    return max(0.0, bad[-1].due - begin) if bad else 0.0
