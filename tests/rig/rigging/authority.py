"""A certificate authority for each cluster, and kubeconfigs."""
import base64
import json

import subprocess

from .layout import CLUSTERS, STATE, address, first, service_address


def openssl(folder, *args):
    done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"rig: openssl {args[0]} failed in {folder}: {done.stderr.strip()}")


def authority(cluster):
    node = first(cluster)
    pki = STATE / node / "pki"
    pki.mkdir()
    openssl(pki, "genrsa", "-out", "sa.key", "2048")
    openssl(pki, "rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")
    openssl(pki, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", "-subj", f"/CN={cluster}")
    names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    addresses = ("127.0.0.1", address(node), service_address(cluster, 1))
    issue(cluster, "apiserver", "/CN=kube-apiserver", ",".join([f"IP:{a}" for a in addresses] + [f"DNS:{n}" for n in names]))
    issue(cluster, "admin", "/O=system:masters/CN=admin", "DNS:admin")
    kubeconfig(cluster, "admin")


def issue(cluster, name, subject, san):
    pki = STATE / first(cluster) / "pki"
    (pki / f"{name}.ext").write_text(f"subjectAltName={san}\nextendedKeyUsage=serverAuth,clientAuth\n")
    openssl(pki, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
    openssl(pki, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.crt")


def kubeconfig(cluster, user):
    folder = STATE / first(cluster)

    def data(name):
        return base64.b64encode((folder / "pki" / name).read_bytes()).decode()

    (folder / f"{user}.kubeconfig").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": {"server": f"https://{address(first(cluster))}:6443", "certificate-authority-data": data("ca.crt")}}],
        "users": [{"name": user, "user": {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}]}))


def merged_kubeconfig(clusters):
    """One file with a context for each cluster, as an operator's laptop has it."""
    merged = {"apiVersion": "v1", "kind": "Config", "current-context": clusters[0], "clusters": [], "users": [], "contexts": []}
    for c in clusters:
        one = json.loads((STATE / first(c) / "admin.kubeconfig").read_text())
        merged["clusters"] += one["clusters"]
        merged["users"] += [{**one["users"][0], "name": c}]
        merged["contexts"] += [{"name": c, "context": {"cluster": c, "user": c}}]
    (STATE / "kubeconfig").write_text(json.dumps(merged))


