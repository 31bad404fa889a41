"""The clients: tests/load, one process per target, in us-west's node namespace."""
import subprocess
import time

from . import samples
from .favour import NICE, favour
from .ground import HOME, at_home

TIMEOUT = 2.0


def start(program, target, file, seconds, kept):
    command = at_home("nice", "-n", NICE, program, "--target", target.url, "--rate", target.rate, "--connections", "keepalive" if kept else "new",
                      "--timeout", f"{int(TIMEOUT * 1000)}ms", "--duration", f"{int(seconds)}s", "--expect-body", "Model Server", "--body-names-server", "--out", file)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    favour(process.pid)
    return process


def wait_home(program, lineup, folder, limit=700):
    """Until every target but the control is served at home alone: the share comes back along a ramp, longer after each failover."""
    end = time.monotonic() + limit
    waiting = [t for t in lineup.targets if t.name in lineup.names]
    while waiting and time.monotonic() < end:
        files = {t: folder / f"before-{t.name}.tsv" for t in waiting}
        for p in [start(program, t, file, 3, False) for t, file in files.items()]:
            p.wait()
        waiting = [t for t, file in files.items() if not at_home_alone(samples.read(file))]
        for file in files.values():
            file.unlink()
    return [t.name for t in waiting]


def at_home_alone(found):
    return bool(found) and all(s.good and s.place == HOME for s in found)
