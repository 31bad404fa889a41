"""The CPU first for what is compared and for the clients.

On two cores the start of twenty pods takes every cycle there is, and whoever then waits for a core loses requests that no proxy
would lose on a machine of its own. What is compared is when and where each proxy sends requests, so all of them get the same
favour: out of the pods' share of the CPU, and a nice level of -10.
"""
import os
import pathlib

NICE = -10


def favour(pid):
    """Puts one process, and every thread of it, before everything else of the rig."""
    # cgroup v1 only: with v2 a process cannot leave its pod's CPU share alone, and the kubelet would miss it.
    top = pathlib.Path("/sys/fs/cgroup/cpu/cgroup.procs")
    if top.exists():
        top.write_text(str(pid))
    # Where the scheduler groups by session, a nice level counts inside the session only; this is the level of the group.
    group = pathlib.Path(f"/proc/{pid}/autogroup")
    if group.exists():
        group.write_text(str(NICE))
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.setpriority(os.PRIO_PROCESS, int(thread), NICE)
