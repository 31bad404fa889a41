"""The service that every fault is about, in three clusters, and the way in for those who are not Strait."""
import json
import time

from .ground import CLUSTERS, HOME, NAMESPACE, POD_PORT, REPLICAS, SERVICE, Trouble, exists, get, kubectl

NODE_PORT = 30080


def up():
    """The sample fleet, each pod naming its cluster in its answer, and a NodePort in every cluster."""
    for cluster in CLUSTERS:
        manifests = kubectl(cluster, "kustomize", f"deploy/sample-fleet/{cluster}")
        named = manifests.replace("-text=Model Server", f"-text={cluster} Model Server")
        if named == manifests:
            raise Trouble("the sample's pods no longer answer `Model Server`; trial/service.py has to name them in another way")
        kubectl(cluster, "apply", "-f", "-", text=named)
        kubectl(cluster, "apply", "-f", "-", text=json.dumps(way_in()))
    for cluster in CLUSTERS:
        wait_ready(cluster, REPLICAS[cluster])


def way_in():
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{SERVICE}-node-port", "namespace": NAMESPACE},
            "spec": {"type": "NodePort", "selector": {"app": SERVICE},
                     "ports": [{"name": "http", "port": 80, "targetPort": POD_PORT, "nodePort": NODE_PORT}]}}


def down():
    for cluster in CLUSTERS:
        kubectl(cluster, "delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    for cluster in CLUSTERS:
        wait(f"{cluster}: namespace {NAMESPACE} gone", lambda: not exists(cluster, "namespace", NAMESPACE))


def scale(replicas):
    """At home."""
    kubectl(HOME, "-n", NAMESPACE, "scale", "deployment", SERVICE, f"--replicas={replicas}")


def ready(cluster):
    return get(cluster, "-n", NAMESPACE, "deployment", SERVICE)["status"].get("readyReplicas", 0)


def wait_ready(cluster, replicas):
    wait(f"{cluster}: {replicas} ready model servers", lambda: ready(cluster) == replicas, 240)


def wait(what, probe, seconds=180):
    end = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > end:
            raise Trouble(f"{what}: not within {seconds} s")
        time.sleep(0.5)
