"""The agent that is asked, on this machine's loopback."""
import pathlib
import socket
import subprocess
import time


class Agent:
    def __init__(self, program, folder, pod_port):
        self.door = ("127.0.0.1", free())
        source = pathlib.Path(folder) / "cluster.yaml"
        source.write_text(f"""podCIDRs: [127.0.0.0/8]
services:
- namespace: soak
  name: pods
  ports: [{{name: http, port: 80, targetPort: {pod_port}, listen: "127.0.0.1:{self.door[1]}"}}]
  endpoints: [{{address: 127.0.0.1}}]
""")
        gateway = free()
        self.log = pathlib.Path(folder) / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [program, "agent", "--source", f"file:{source}", "--cluster", "one", "--identity-dir", folder,
                 "--gateway-listen", f"127.0.0.1:{gateway}", "--gateway-port", str(gateway), "--dns-listen", f"127.0.0.1:{free()}",
                 "--admin-listen", f"127.0.0.1:{free()}", "--drain-delay", "0s"], stdout=log, stderr=log)
        self.wait()

    def wait(self):
        """Until it listens."""
        for _ in range(200):
            try:
                socket.create_connection(self.door, 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"the agent does not listen:\n{self.log.read_text()}")

    def holds(self):
        """Resident memory in KiB, and open descriptors."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(resident.split()[1]), len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def stop(self):
        """Ends it as Kubernetes does; its status."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "did not end within 60 s of SIGTERM"


def free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
