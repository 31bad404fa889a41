"""One cycle: all faults in order, on pods that no fault has met before, every target at the same time."""
import json
import random
import time

from . import faults, load

# Seconds that each step is watched.
WATCH = {"settle": 5.0, "F2": 25.0, "F1": 30.0, "F3": 45.0, "F3h": 75.0, "F4": 150.0}
# Clients begin before the first step and end after the last.
BEFORE, AFTER = 2, 4


def cpu():
    """Ticks of all CPUs, and how many of them were idle."""
    with open("/proc/stat") as stat:
        ticks = [int(t) for t in stat.readline().split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


def run(folder, lineup, program, kept, watch, jitter):
    """Samples, the slice's changes and the steps' times into a new folder."""
    folder.mkdir(parents=True)
    # Timers of agents, probes and caches must not be met in the same phase each time.
    watch = {**watch, "settle": watch["settle"] + random.uniform(0, jitter)}
    lineup.follower.write_to(folder / "ready.tsv")
    span = sum(watch.values()) + BEFORE + AFTER + len(watch)
    clients = [load.start(program, t, folder / f"{t.name}.tsv", span, kept) for t in lineup.targets]
    time.sleep(BEFORE)
    try:
        with open(folder / "steps.jsonl", "w") as log:
            for step, seconds in watch.items():
                print(json.dumps(play(step, seconds)), file=log, flush=True)
        time.sleep(AFTER)
    finally:
        faults.cut(False)
        for client in clients:
            client.terminate()  # it then waits for what is in flight
        for client in clients:
            client.wait()


def play(step, seconds):
    serving = faults.servers()
    departures = faults.Departures(serving if step in faults.ENDS_PODS else [])
    departures.start()
    before, begin = cpu(), time.time()
    faults.ACTS[step](serving)
    command = time.time() - begin
    time.sleep(max(0.0, begin + seconds - time.time()))
    until, after = time.time(), cpu()
    first, last = departures.stop()
    idle = (after[1] - before[1]) / max(1, after[0] - before[0])
    since = lambda moment: None if moment is None else round(moment - begin, 3)
    return {"step": step, "begin": begin, "until": until, "command_s": round(command, 3), "idle": round(idle, 3),
            "first_gone_s": since(first), "last_gone_s": since(last)}
