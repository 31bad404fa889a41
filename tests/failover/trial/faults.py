"""The faults, each one act; and when the pods at home are really gone."""
import os
import signal
import threading
import time

from rigging.network import set_links
from rigging.layout import RTT_MS

from .ground import HOME, NEAR, REPLICAS, containers
from .service import scale

PROGRAM = "http-echo"


def servers():
    """The processes that serve at home."""
    return containers(HOME, PROGRAM)


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def cut(yes):
    """us-east and everybody else: a black hole both ways, or not."""
    set_links({f"{a} {b}": {"cut": yes} for a, b in RTT_MS if NEAR in (a, b)})


ACTS = {  # each is told the processes that serve at home, found before the clock starts
    "settle": lambda _: None,
    "F2": kill,
    "F1": lambda _: scale(0),
    "F3": lambda _: cut(True),
    "F3h": lambda _: cut(False),
    "F4": lambda _: scale(REPLICAS[HOME]),
}
ENDS_PODS = ("F2", "F1")


class Departures(threading.Thread):
    """When the first and the last of the processes that served at home had ended: scaling down takes a moment to do anything."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.first, self.last, self.over = set(pids), None, None, False

    def run(self):
        while self.pids and not self.over:
            gone = {p for p in self.pids if not os.path.exists(f"/proc/{p}")}
            if gone:
                self.last = time.time()
                self.first = self.first or self.last
                self.pids -= gone
            time.sleep(0.01)

    def stop(self):
        self.over = True
        self.join()
        return self.first, self.last if not self.pids else None
