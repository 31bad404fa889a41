"""What the clients wrote, a line for each request (tests/load/src/sample.rs)."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Sample:
    due: float  # seconds since the epoch
    took: float  # seconds, from when it was due
    kind: str
    place: str  # the cluster that answered, or what an error says of itself
    kept: bool

    @property
    def good(self):
        return self.kind == "ok"

    @property
    def end(self):
        return self.due + self.took


def parse(line):
    words = line.split("\t")
    if len(words) != 7:
        return None  # half a line, of a client that was ended
    return Sample(int(words[0]) / 1e6, int(words[1]) / 1e6, words[2], words[4], words[5] == "kept")


def read(path):
    with open(path) as file:
        found = [parse(line.rstrip("\n")) for line in file if line.endswith("\n")]
    return sorted((s for s in found if s), key=lambda s: s.due)
