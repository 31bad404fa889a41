"""An image of the PostgreSQL that is installed on this machine as a Debian package, server and client."""
import glob
import os

from .images import image, load, program, shell, shell_links
from .layout import RUN, nodes

TAG = "postgres:rig"


def files(version):
    """Where Debian has them, for the server finds the rest from where it lies itself."""
    binaries, library, share = f"/usr/lib/postgresql/{version}/bin", f"/usr/lib/postgresql/{version}/lib", f"/usr/share/postgresql/{version}"
    found = shell()
    for name in ("postgres", "initdb", "psql"):
        needed = program(f"{binaries}/{name}")
        found.update({(f"{binaries}/{name}" if inside == f"/usr/local/bin/{name}" else inside): here for inside, here in needed.items()})
    # Without the compiler of queries: it brings LLVM, and the server goes on without it.
    found.update({path: path for path in glob.glob(f"{library}/*.so") if not path.endswith("/llvmjit.so")})
    for folder, _, names in os.walk(share):
        found.update({f"{folder}/{name}": f"{folder}/{name}" for name in names if "/man/" not in f"{folder}/"})
    links = [(f"/usr/local/bin/{name}", f"{binaries}/{name}") for name in ("postgres", "initdb", "psql")]
    return {inside: os.path.realpath(here) if isinstance(here, str) else here for inside, here in found.items()}, links


def postgres_command(_):
    """rig postgres: make the image and load it into every node."""
    versions = sorted((int(p.split("/")[4]) for p in glob.glob("/usr/lib/postgresql/*/bin/postgres")), reverse=True)
    if not versions:
        raise SystemExit("rig: no PostgreSQL under /usr/lib/postgresql; the Debian package postgresql brings it")
    inside, links = files(versions[0])
    target = image(TAG, inside, ["/usr/local/bin/postgres"], links=[*shell_links(), *links])
    for node in nodes():
        if os.path.exists(f"{RUN}/{node}/containerd.sock"):
            load(node, target)
