"""Who answered, second by second, and whether that was more than it had ready. Pure."""
import bisect
import math

from .ground import HOME, REPLICAS

# How much later than the fact a follower of the slice may write it down, and than a proxy with a watch of its own.
FOLLOWED = 0.25
# A share of a second's requests is a sample: three standard deviations are allowed on top.
DEVIATIONS = 3.0
# Full is this part of what is due, over so many seconds.
FULL, OVER = 0.9, 3


def by_second(samples, begin, until):
    """[{cluster: good answers}], one for each whole second after the fault."""
    seconds = [{} for _ in range(int(until - begin))]
    for s in samples:
        at = int(s.due - begin)
        if s.good and s.due >= begin and at < len(seconds):
            seconds[at][s.place] = seconds[at].get(s.place, 0) + 1
    return seconds


def share(second, cluster):
    """None for a second without answers."""
    total = sum(second.values())
    return second.get(cluster, 0) / total if total else None


def most_ready(changes, begin, end):
    """The largest number ready in a stretch of time; `changes` is sorted (time, ready)."""
    at = bisect.bisect_right(changes, (begin, math.inf))
    in_force = changes[at - 1][1] if at else 0
    return max([in_force] + [ready for when, ready in changes[at:] if when < end])


def beyond_ready(seconds, changes, begin):
    """The seconds in which home had a larger share than its ready pods are of all its pods:
    [(second, share, ready pods)]."""
    found = []
    for i, second in enumerate(seconds):
        got, n = share(second, HOME), sum(second.values())
        if got is None:
            continue
        ready = most_ready(changes, begin + i, begin + i + 1 + FOLLOWED)
        part = min(1.0, ready / REPLICAS[HOME])
        if got > part + DEVIATIONS * math.sqrt(part * (1 - part) / n) and got * n > 1:
            found.append((i, got, ready))
    return found


def full_again(seconds, cluster, due):
    """Seconds until a cluster had its full share (of `due`) over three seconds; None when it never did."""
    for i in range(len(seconds) - OVER + 1):
        window = [share(s, cluster) for s in seconds[i:i + OVER]]
        if None not in window and sum(window) / OVER >= FULL * due:
            return i
    return None


def usual(samples, cluster, begin, until):
    """A cluster's share of the good answers of a stretch of time."""
    good = [s for s in samples if s.good and begin <= s.due < until]
    return sum(s.place == cluster for s in good) / len(good) if good else None
