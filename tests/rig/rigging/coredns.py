"""CoreDNS as kubeadm installs it: a Deployment, one ConfigMap with a Corefile, the Service kube-dns."""
import json
import subprocess

from .build import COREDNS
from .layout import first, kubectl, service_address

COREFILE = """.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    cache 30
    loop
    reload
    loadbalance
}
"""
LABELS = {"k8s-app": "kube-dns"}


def coredns(cluster):
    meta = {"name": "coredns", "namespace": "kube-system"}
    role = {"name": "system:coredns"}
    items = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": role, "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": role,
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["name"]},
         "subjects": [{"kind": "ServiceAccount", **meta}]},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": COREFILE}},
        deployment(cluster, meta),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {**LABELS, "kubernetes.io/cluster-service": "true"}},
         "spec": {"clusterIP": service_address(cluster, 10), "selector": LABELS,
                  "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}, {"name": "metrics", "port": 9153}]}},
    ]
    listing = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
    kubectl(cluster, "apply", "-f", "-", input=listing, check=True, stdout=subprocess.DEVNULL)


def deployment(cluster, meta):
    container = {
        "name": "coredns", "image": f"registry.k8s.io/coredns/coredns:v{COREDNS}", "imagePullPolicy": "IfNotPresent", "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"containerPort": 53, "protocol": "UDP", "name": "dns"}, {"containerPort": 53, "protocol": "TCP", "name": "dns-tcp"}, {"containerPort": 9153, "name": "metrics"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}}, "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**meta, "labels": LABELS}, "spec": {
        "replicas": 1, "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {
            "serviceAccountName": "coredns", "dnsPolicy": "Default", "containers": [container], "nodeSelector": {"kubernetes.io/hostname": first(cluster)},
            "volumes": [{"name": "config-volume", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}]}}}}
