"""One run: the agent, the clients, and what is held against them."""
import collections
import random
import tempfile
import threading
import time

from . import clients, pod, wire
from .agent import Agent

# What the agent may hold beyond what it held before, once everybody has left.
MEMORY_KIB = 16 * 1024
DESCRIPTORS = 8


class Book:
    """What came of each habit."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done = collections.Counter()
        self.wrong = collections.defaultdict(list)
        self.longest = collections.Counter()

    def note(self, habit, wrong, seconds):
        with self.lock:
            self.done[habit] += 1
            if wrong is not None:
                self.wrong[habit].append(wrong)
            self.longest[habit] = max(self.longest[habit], seconds)


def well_behaved(door):
    with wire.connect(door) as client:
        for _ in range(20):
            client.sendall(wire.get())
            said = wire.until(client, b"got 0")
            if not wire.whole(said, b"got 0"):
                return said[:200]
            time.sleep(0.01)
    return None


def live(book, door, habits, end):
    """One client's life: a habit after the other."""
    while time.monotonic() < end:
        habit = random.choice(habits)
        began = time.monotonic()
        try:
            wrong = habit(door)
        except OSError as error:
            wrong = repr(error)
        book.note(habit.__name__, wrong, time.monotonic() - began)


def crowd(book, door, habits, seconds, clients):
    end = time.monotonic() + seconds
    kinds = [[well_behaved]] * 4 + [habits] * clients
    threads = [threading.Thread(target=live, args=(book, door, kind, end)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def settle(agent, before):
    """What it holds when all have left; it has half a minute to let go."""
    for _ in range(30):
        after = agent.holds()
        if after[0] <= before[0] + MEMORY_KIB and after[1] <= before[1] + DESCRIPTORS:
            break
        time.sleep(1)
    return after


def run(a):
    habits = [h for h in clients.HABITS if not a.only or a.only in h.__name__]
    if not habits:
        raise SystemExit(f"no habit has {a.only!r} in its name: {', '.join(h.__name__ for h in clients.HABITS)}")
    book = Book()
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(a.strait, folder, pod.listen())
        # Pools and buffers that any load makes are no leak.
        crowd(Book(), agent.door, [well_behaved], 2, 4)
        before = agent.holds()
        crowd(book, agent.door, habits, a.seconds, a.clients)
        after = settle(agent, before)
        status = agent.stop()
        panics = agent.log.read_text().count("panicked")
    return judge(book, before, after, status, panics)


def judge(book, before, after, status, panics):
    for habit, count in sorted(book.done.items()):
        print(f"{habit:<22} {count:>7}  wrong {len(book.wrong[habit])}  longest {book.longest[habit]:.1f} s")
        for wrong in book.wrong[habit][:5]:
            print(f"    {wrong!r}")
    print(f"memory {before[0]} -> {after[0]} KiB, descriptors {before[1]} -> {after[1]}, status {status}, panics {panics}")
    faults = [f"{habit} got something wrong" for habit, wrong in book.wrong.items() if wrong]
    if after[0] > before[0] + MEMORY_KIB:
        faults.append("memory was not given back")
    if after[1] > before[1] + DESCRIPTORS:
        faults.append("descriptors were not closed")
    if status != 0 or panics:
        faults.append("the agent did not end well")
    print("; ".join(faults) if faults else "all of them got what they had to get")
    return 1 if faults else 0
