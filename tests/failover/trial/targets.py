"""What is asked: each a local address at home behind which some way of failing over works, and the control."""
import dataclasses
import pathlib

from . import envoy, strait
from .endpoints import Follower
from .ground import NEAR, Trouble, node_address
from .service import NODE_PORT

CONTROL = "control"
NAMES = ("strait", "envoy-tuned", "envoy-istio")
# Clients, proxies and three clusters share a machine; with more than this the machine is what is measured.
MOST = 2
CONTROL_RATE = 50


@dataclasses.dataclass(frozen=True)
class Target:
    name: str
    url: str
    rate: int


def chosen(text):
    names = [n for n in text.split(",") if n]
    for name in names:
        if name not in NAMES:
            raise Trouble(f"no target {name!r}: {', '.join(NAMES)}")
    if not 1 <= len(names) <= MOST or len(set(names)) != len(names):
        raise Trouble(f"one or two different targets at once beside the control, not {text!r}")
    return names


class Lineup:
    """The targets of a run, and what has to run for them."""

    def __init__(self, names, rate):
        self.names, self.rate, self.processes, self.targets = names, rate, [], []
        self.pusher, self.follower = None, None

    def start(self, folder, envoy_program):
        endpoints = pathlib.Path(folder) / "eds" / "endpoints.json"
        endpoints.parent.mkdir()
        self.pusher = envoy.Pusher(endpoints)
        self.pusher.start()
        self.follower = Follower(self.pusher.changed)
        self.follower.start()
        if not self.follower.first.wait(60):
            raise Trouble("no EndpointSlice of the service was seen at home within 60 s")
        for i, name in enumerate(self.names):
            self.targets.append(Target(name, self.begin(name, 18081 + 10 * i, endpoints, folder, envoy_program), self.rate))
        # Straight to us-east, whatever happens: what it loses is lost by the ground and the clients.
        self.targets.append(Target(CONTROL, f"http://{node_address(NEAR)}:{NODE_PORT}", CONTROL_RATE))

    def begin(self, name, port, endpoints, folder, program):
        if name == "strait":
            strait.favour_agents()
            return f"http://{strait.address()}:80"
        variant = name.removeprefix("envoy-")
        self.processes.append(envoy.start(program, variant, port, endpoints, folder))
        return f"http://127.0.0.1:{port}"

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        for helper in (self.follower, self.pusher):
            if helper:
                helper.stop()
