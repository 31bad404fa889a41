"""Container images made from files on this machine, and loaded into every node's containerd."""
import hashlib
import io
import json
import os
import pathlib
import platform
import shutil
import subprocess
import tarfile

from .build import COREDNS
from .layout import BIN, RUN, STATE, nodes

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PEOPLE = {"/etc/passwd": b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n", "/etc/group": b"root:x:0:\nnobody:x:65534:\n",
          "/etc/nsswitch.conf": b"hosts: files dns\n"}
APPLETS = "sh ls cat sleep echo wget nslookup nc ping ip ps kill grep sed awk head tail date env printf true false test mkdir rm cp mv vi top netstat httpd".split()


def ctr(node, *args, **kw):
    if not kw.get("capture_output"):
        kw.setdefault("stderr", subprocess.DEVNULL)
    return subprocess.run([str(BIN / "ctr"), "--address", f"{RUN}/{node}/containerd.sock", *args], **kw)


def load(node, archive):
    ctr(node, "-n", "k8s.io", "images", "import", str(archive), check=True, stdout=subprocess.DEVNULL)


def full_name(tag):
    """strait:dev -> docker.io/library/strait:dev, the name under which a kubelet asks for it."""
    parts = tag.split("/")
    if len(parts) == 1:
        return f"docker.io/library/{tag}"
    return tag if "." in parts[0] or ":" in parts[0] else f"docker.io/{tag}"


def program(path):
    """A program and the shared libraries it needs: {path inside: path here}."""
    files = {f"/usr/local/bin/{os.path.basename(path)}": path}
    for line in subprocess.run(["ldd", path], capture_output=True, text=True).stdout.splitlines():
        for word in line.split():
            if word.startswith("/") and os.path.exists(word):
                files[word] = os.path.realpath(word)
    return files


def shell():
    """busybox, statically linked, and who is who; with the links `shell_links`."""
    return {"/bin/busybox": shutil.which("busybox"), **PEOPLE}


def shell_links():
    return [(f"/bin/{a}", "busybox") for a in APPLETS]


def layer(files, links):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        seen = set()

        def folder(path):
            if path not in ("", "/") and path not in seen:
                folder(os.path.dirname(path))
                seen.add(path)
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if path == "/tmp" else 0o755
                tar.addfile(entry)

        for inside, outside in sorted(files.items()):
            folder(os.path.dirname(inside))
            data = outside if isinstance(outside, bytes) else pathlib.Path(outside).read_bytes()
            entry = tarfile.TarInfo(inside.lstrip("/"))
            entry.size, entry.mode = len(data), 0o644 if isinstance(outside, bytes) else 0o755
            tar.addfile(entry, io.BytesIO(data))
        for inside, target in links:
            folder(os.path.dirname(inside))
            entry = tarfile.TarInfo(inside.lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        folder("/tmp")
    return out.getvalue()


def image(tag, files, entrypoint=(), links=()):
    """Write images/<tag>.tar: one layer with `files` {inside: path here or bytes}, importable by containerd."""
    data = layer(files, links)
    config = json.dumps({"architecture": ARCHITECTURE, "os": "linux", "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]}}).encode()
    name = hashlib.sha256(config).hexdigest()
    manifest = json.dumps([{"Config": f"{name}.json", "RepoTags": [full_name(tag)], "Layers": ["layer.tar"]}]).encode()
    target = STATE / "images" / (tag.replace("/", "_").replace(":", "_") + ".tar")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w") as tar:
        for n, content in (("manifest.json", manifest), (f"{name}.json", config), ("layer.tar", data)):
            entry = tarfile.TarInfo(n)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return target


def base_images():
    image("registry.k8s.io/pause:3.10", {"/bin/busybox": shutil.which("busybox")}, ["/bin/busybox", "sleep", "2147483647"])
    tools = shell()
    for t in ("curl", "dig", "wrk"):
        if shutil.which(t):
            tools.update(program(shutil.which(t)))
    image("tools:1", tools, ["/bin/sleep", "2147483647"], links=shell_links())
    image(f"registry.k8s.io/coredns/coredns:v{COREDNS}", {"/coredns": BIN / "coredns", **PEOPLE}, ["/coredns"])
    image("hashicorp/http-echo:latest", {"/http-echo": BIN / "http-echo", **PEOPLE}, ["/http-echo"])


def image_command(a):
    """rig image TAG PROGRAM [INSIDE=HERE ...]: an image of one program, its libraries and a shell, loaded into every node."""
    if not os.path.exists(a.program):
        raise SystemExit(f"rig: there is no {a.program}")
    files = {**shell(), **program(a.program)}
    for extra in a.extra:
        inside, _, here = extra.partition("=")
        files[inside] = here
    target = image(a.tag, files, [f"/usr/local/bin/{os.path.basename(a.program)}"], links=shell_links())
    for node in nodes():
        if os.path.exists(f"{RUN}/{node}/containerd.sock"):
            load(node, target)
