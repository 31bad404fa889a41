"""A cluster's control plane, and a node that joins it."""
import json

from .authority import issue, kubeconfig
from .images import ctr, load
from .layout import CLUSTERS, RUN, STATE, address, cgroup_roots, cluster_of, first, inside, kubectl, pod_subnet, service_address, sh, wait
from .processes import start


def control_plane(cluster):
    node, (_, pods, services) = first(cluster), CLUSTERS[cluster]
    folder = STATE / node
    pki, conf = folder / "pki", folder / "admin.kubeconfig"
    start(node, "etcd", "etcd", "--data-dir", folder / "etcd", "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
          "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync", "--log-level", "warn")
    start(node, "kube-apiserver", "kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--secure-port", "6443", "--advertise-address", address(node),
          "--service-cluster-ip-range", services, "--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
          "--service-account-key-file", pki / "sa.pub", "--service-account-signing-key-file", pki / "sa.key",
          "--tls-cert-file", pki / "apiserver.crt", "--tls-private-key-file", pki / "apiserver.key", "--client-ca-file", pki / "ca.crt",
          "--kubelet-client-certificate", pki / "admin.crt", "--kubelet-client-key", pki / "admin.key", "--kubelet-certificate-authority", pki / "ca.crt",
          "--kubelet-preferred-address-types", "InternalIP", "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--allow-privileged=true")
    wait(f"{cluster}: API server ready", lambda: kubectl(cluster, "get", "--raw", "/readyz", capture_output=True).returncode == 0)
    start(node, "kube-controller-manager", "kube-controller-manager", "--kubeconfig", conf, "--cluster-cidr", pods, "--allocate-node-cidrs=false",
          "--service-cluster-ip-range", services, "--service-account-private-key-file", pki / "sa.key", "--root-ca-file", pki / "ca.crt",
          "--cluster-signing-cert-file", pki / "ca.crt", "--cluster-signing-key-file", pki / "ca.key", "--use-service-account-credentials=true", "--leader-elect=false")
    start(node, "kube-scheduler", "kube-scheduler", "--kubeconfig", conf, "--leader-elect=false")


def join(node):
    """Start the node's runtime, kubelet and kube-proxy, and wait until it is Ready."""
    cluster = cluster_of(node)
    runtime(node)
    issue(cluster, node, f"/O=system:nodes/CN=system:node:{node}", f"IP:{address(node)},DNS:{node}")
    kubeconfig(cluster, node)
    # Pods keep their address inside the cluster and take the node's outside it, as with most network plugins.
    sh(*inside(node), "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", pod_subnet(node), "!", "-d", CLUSTERS[cluster][1],
       "-m", "addrtype", "!", "--dst-type", "LOCAL", "-j", "MASQUERADE")
    kubelet(node)
    kube_proxy(node)
    wait(f"{node}: Ready", lambda: b"True" in kubectl(cluster, "get", "node", node, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}", capture_output=True).stdout)


def runtime(node):
    folder = STATE / node
    (folder / "cni").mkdir()
    (folder / "cni/10-bridge.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True, "promiscMode": False,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": pod_subnet(node)}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": str(folder / "ipam")}},
        {"type": "portmap", "capabilities": {"portMappings": True}}]}))
    (folder / "containerd.toml").write_text(f"""version = 3
root = "{folder}/containerd"
state = "{RUN}/{node}/containerd"
[grpc]
  address = "{RUN}/{node}/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "registry.k8s.io/pause:3.10"
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{folder}/cni"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
""")
    (RUN / node).mkdir(parents=True, exist_ok=True)
    start(node, "containerd", "containerd", "--config", folder / "containerd.toml")
    wait(f"{node}: containerd ready", lambda: ctr(node, "version", capture_output=True).returncode == 0)
    for archive in sorted((STATE / "images").glob("*.tar")):
        load(node, archive)


def kubelet(node):
    cluster, folder, plane = cluster_of(node), STATE / node, STATE / first(cluster_of(node))
    for root in cgroup_roots():
        (root / f"rig-{node}").mkdir(exist_ok=True)
        if root.name == "cpuset":
            for f in ("cpuset.cpus", "cpuset.mems"):
                (root / f"rig-{node}" / f).write_text((root / f).read_text())
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "kubelet.yaml").write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "failCgroupV1": False, "failSwapOn": False, "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/rig-{node}", "containerRuntimeEndpoint": f"unix://{RUN}/{node}/containerd.sock", "clusterDomain": "cluster.local",
        "clusterDNS": [service_address(cluster, 10)], "resolvConf": str(folder / "resolv.conf"),
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(plane / "pki/ca.crt")}},
        "authorization": {"mode": "AlwaysAllow"}, "tlsCertFile": str(plane / f"pki/{node}.crt"), "tlsPrivateKeyFile": str(plane / f"pki/{node}.key"), "maxPods": 110,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"}, "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "4s", "nodeLeaseDurationSeconds": 16, "enforceNodeAllocatable": [], "syncFrequency": "10s",
        "volumePluginDir": str(folder / "plugins"), "staticPodPath": "", "registryPullQPS": 0, "imagePullCredentialsVerificationPolicy": "NeverVerify", "podLogsDir": str(folder / "podlogs")}))
    start(node, "kubelet", "kubelet", "--config", folder / "kubelet.yaml", "--kubeconfig", plane / f"{node}.kubeconfig", "--root-dir", folder / "kubelet",
          "--cert-dir", folder / "kubelet-pki", "--hostname-override", node, "--node-ip", address(node),
          "--node-labels", f"topology.kubernetes.io/region={cluster},topology.kubernetes.io/zone={cluster}-zone{node[-1]}")


def kube_proxy(node):
    cluster, folder = cluster_of(node), STATE / node
    (folder / "kube-proxy.yaml").write_text(json.dumps({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
        "clientConnection": {"kubeconfig": str(STATE / first(cluster) / "admin.kubeconfig")}, "clusterCIDR": CLUSTERS[cluster][1], "hostnameOverride": node,
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}, "nodePortAddresses": []}))
    start(node, "kube-proxy", "kube-proxy", "--config", folder / "kube-proxy.yaml")
