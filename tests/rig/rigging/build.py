"""What a machine needs before the clusters can start: Debian packages, and binaries built from published Go modules."""
import json
import os
import shutil
import subprocess
import time

from .layout import BIN, CACHE, SOURCE, sh

# program that must be on the PATH (or file that must exist): the Debian package that brings it
PACKAGES = {
    "runc": "runc", "/usr/lib/cni/bridge": "containernetworking-plugins", "iptables": "iptables", "conntrack": "conntrack",
    "ip": "iproute2", "busybox": "busybox-static", "openssl": "openssl", "curl": "curl", "dig": "dnsutils", "nsenter": "util-linux",
}
OPTIONAL = {"wrk": "wrk", "promtool": "prometheus", "/usr/lib/postgresql/15/bin/initdb": "postgresql-15"}
KUBE, ETCD, COREDNS, CONTAINERD, HTTP_ECHO = "1.36.3", "3.6.16", "1.14.7", "2.4.2", "1.0.0"
KUBE_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
PROGRAMS = (*KUBE_PROGRAMS, "etcd", "coredns", "containerd", "containerd-shim-runc-v2", "ctr", "http-echo", "rig-wan")


def lacking(wanted):
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [package for program, package in wanted.items()
            if not (os.path.exists(program) if program.startswith("/") else shutil.which(program, path=path))]


def deps(_=None):
    """Install the Debian packages that are missing; needs root and apt-get only when one is."""
    missing = lacking(PACKAGES)
    wished = lacking(OPTIONAL)
    if not missing and not wished:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        if missing:
            raise SystemExit(f"rig: these packages are missing and only root with apt-get can install them: {' '.join(missing)}")
        return
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    sh("apt-get", "update", "-qq", check=False, env=quietly)
    if missing:
        sh("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quietly)
    for package in wished:
        sh("apt-get", "install", "-y", "-qq", "--no-install-recommends", package, check=False, env=quietly)


def build(_=None):
    """Build the binaries that are missing, once; about nine minutes on two cores."""
    deps()
    BIN.mkdir(parents=True, exist_ok=True)
    work = CACHE / "build"
    sh("cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", SOURCE / "wan/Cargo.toml", env={**os.environ, "CARGO_TARGET_DIR": str(work / "wan")})
    shutil.copy(work / "wan/release/rig-wan", BIN / "rig-wan")
    version = {"Version": f"v{KUBE}", "Major": "1", "Minor": KUBE.split(".")[1], "TreeState": "clean"}
    flags = [f"-X {p}.git{k}={v}" for p in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version") for k, v in version.items()]
    module(work / "kube", "k8s.io/kubernetes", KUBE, [f"k8s.io/kubernetes/cmd/{c}" for c in KUBE_PROGRAMS], flags)
    module(work / "etcd", "go.etcd.io/etcd/server/v3", ETCD, ["go.etcd.io/etcd/server/v3"], rename={"v3": "etcd"})
    module(work / "coredns", "github.com/coredns/coredns", COREDNS, ["github.com/coredns/coredns"])
    module(work / "containerd", "github.com/containerd/containerd/v2", CONTAINERD,
           [f"github.com/containerd/containerd/v2/cmd/{c}" for c in ("containerd", "containerd-shim-runc-v2", "ctr")])
    module(work / "http-echo", "github.com/hashicorp/http-echo", HTTP_ECHO, ["github.com/hashicorp/http-echo"])


def module(folder, name, version, packages, flags=(), rename=None):
    """Build the main packages of one Go module into BIN, unless they are all there."""
    programs = [(rename or {}).get(p.rsplit("/", 1)[1], p.rsplit("/", 1)[1]) for p in packages]
    if all((BIN / p).exists() for p in programs):
        return
    if not shutil.which("go"):
        raise SystemExit(f"rig: {', '.join(programs)} must be built, and there is no Go compiler on the PATH")
    folder.mkdir(parents=True, exist_ok=True)
    imports = "".join(f'\t_ "{p}"\n' for p in packages)
    (folder / "go.mod").write_text(f"module rig/{folder.name}\n\ngo 1.26.0\n\nrequire {name} v{version}\n{staging(name, version)}")
    (folder / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports})\n")
    sh("go", "mod", "tidy", cwd=folder)
    for package, program in zip(packages, programs):
        started = time.monotonic()
        partial = BIN / f".{program}.partial"  # a build that was interrupted must not look finished
        sh("go", "build", "-trimpath", "-ldflags", " ".join(["-s -w", *flags]), "-o", partial, package, cwd=folder, env={**os.environ, "CGO_ENABLED": "0"})
        partial.rename(BIN / program)
        print(f"{program} {time.monotonic() - started:.0f}s", flush=True)


def staging(name, version):
    """Kubernetes replaces its staging modules by folders; they are published under the same minor version."""
    if name != "k8s.io/kubernetes":
        return ""
    info = json.loads(subprocess.check_output(["go", "mod", "download", "-json", f"{name}@v{version}"], text=True))
    lines = []
    for line in open(info["GoMod"]):
        if "=> ./staging" in line:
            words = line.split()
            staged = words[1] if words[0] == "replace" else words[0]
            lines.append(f"replace {staged} => {staged} v0.{version.split('.', 1)[1]}\n")
    return "".join(lines)
