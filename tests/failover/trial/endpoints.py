"""Which pods of the service are ready at home, followed as any control plane follows them, with a line for each change."""
import json
import os
import subprocess
import threading
import time

from rigging import layout

from .ground import HOME, NAMESPACE, SERVICE


def ready_addresses(slices):
    """{slice name: EndpointSlice} -> sorted addresses. An endpoint without a condition counts as ready, as Kubernetes says."""
    found = set()
    for s in slices.values():
        for endpoint in s.get("endpoints") or []:
            if endpoint.get("conditions", {}).get("ready") is not False:
                found.update(endpoint["addresses"])
    return sorted(found)


def events(chunks):
    """Watch events from pieces of kubectl's output, which are cut anywhere."""
    decoder, text = json.JSONDecoder(), ""
    for chunk in chunks:
        text = (text + chunk).lstrip()
        while text:
            try:
                event, end = decoder.raw_decode(text)
            except ValueError:
                break
            yield event
            text = text[end:].lstrip()


class Follower(threading.Thread):
    """Calls `changed(addresses)` after every event, and writes time, ready pods and what happened to the file in use."""

    def __init__(self, changed):
        super().__init__(daemon=True)
        self.changed, self.addresses, self.first = changed, [], threading.Event()
        self.lock, self.file, self.process, self.over = threading.Lock(), None, None, False

    def write_to(self, path):
        """Begins a new file, whose first line is how things are."""
        with self.lock:
            if self.file:
                self.file.close()
            self.file = open(path, "w")
            self.line()

    def line(self):
        if self.file:
            print(f"{time.time():.6f}\t{len(self.addresses)}", file=self.file, flush=True)

    def run(self):
        while not self.over:  # an API server ends every watch after 30 to 60 minutes
            self.follow()
            time.sleep(0.2)

    def follow(self):
        command = [*layout.inside(HOME), str(layout.BIN / "kubectl"), "--kubeconfig", str(layout.STATE / layout.first(HOME) / "admin.kubeconfig"),
                   "-n", NAMESPACE, "get", "endpointslices", "-l", f"kubernetes.io/service-name={SERVICE}", "--watch", "--output-watch-events", "-o", "json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        slices = {}
        for event in events(self.chunks(self.process.stdout)):
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                slices.pop(name, None)
            else:
                slices[name] = event["object"]
            with self.lock:
                self.addresses = ready_addresses(slices)
                self.line()
            self.first.set()
            self.changed(self.addresses)
        self.process.wait()

    @staticmethod
    def chunks(stream):
        while piece := os.read(stream.fileno(), 1 << 20):
            yield piece.decode()

    def stop(self):
        self.over = True
        if self.process:
            self.process.terminate()
        self.join(10)
