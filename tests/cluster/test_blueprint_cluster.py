"""cluster.yml on real machines, from bare Debian to an app that answers through the loss of a machine."""

import re
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass

import pytest

from tests.cluster.probes import Admin, asking, hello
from tests.cluster_house import BLUEPRINTS, ENDPOINT, Cluster, bundle_is_whole, cluster
from tests.hosts_house import real_machines, until

pytestmark = [
    *real_machines,
    pytest.mark.cluster,
    pytest.mark.skipif(
        not bundle_is_whole(),
        reason="needs a cluster's programs and images: python -m deploy.lab.bundle --want kubernetes",
    ),
]
NAMES = ("cp1", "cp2", "cp3", "w1")
SITE = BLUEPRINTS / "cluster.yml"
# There is a worker in the inventory, and the app is to be spread over the control planes before it comes.
SCHEDULABLE = ("-e", '{"kubeadm_control_plane_schedulable": true}')
CONTROL_PLANES = ("--limit", "control_plane", *SCHEDULABLE)
AWAY_S = 10.0  # the most that a user may notice of a machine that is lost
TOKEN = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b")
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass
class Built:
    cluster: Cluster
    admin: Admin
    said: str


def tell(text: str) -> None:
    """Figures, for whoever runs this with -s."""
    sys.stdout.write(f"\n{text}\n")


def good(done: subprocess.CompletedProcess[str], what: str, began: float) -> str:
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tell(f"{what}: {time.monotonic() - began:.0f} s")
    return done.stdout


def changed(said: str) -> dict[str, int]:
    return {match[1]: int(match[3]) for match in RECAP.finditer(said)}


def sudo(found: Cluster, name: str, command: str) -> str:
    done = found.ssh(name, f"sudo {command}")
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Generator[Built]:
    began = time.monotonic()
    with cluster(tmp_path_factory.mktemp("cluster"), NAMES) as found:
        tell(f"{len(NAMES)} machines on and answering: {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        said = good(found.play(SITE, *CONTROL_PLANES), "cluster.yml, first run on three control planes", began)
        yield Built(found, Admin(found, sudo(found, "cp1", "cat /etc/kubernetes/admin.conf")), said)


def nodes_ready(built: Built) -> set[str]:
    try:
        return {name for name, ready in built.admin.ready().items() if ready}
    except OSError:
        return set()


def test_three_control_planes_are_ready_and_hello_answers(built: Built) -> None:
    assert nodes_ready(built) >= {"cp1", "cp2", "cp3"}
    assert "Hello, world" in hello(built.cluster)
    pods = built.admin.ask("GET", "/api/v1/namespaces/default/pods?labelSelector=app%3Dhello")["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3
    members = sudo(built.cluster, "cp1", "ls /var/backups/etcd")
    assert "snapshot-" in members


def test_nothing_that_lets_somebody_in_is_in_the_output(built: Built) -> None:
    assert not TOKEN.search(built.said)
    assert "BEGIN" not in built.said
    assert "client-key-data" not in built.said


def test_who_only_looks_sees_nodes_and_no_secrets(built: Built) -> None:
    look = "kubectl --kubeconfig /etc/kubernetes/watchbill-view.conf"
    assert "cp3" in sudo(built.cluster, "cp1", f"{look} get nodes")
    refused = built.cluster.ssh("cp1", f"sudo {look} get secrets --all-namespaces")
    assert "Forbidden" in refused.stderr
    refused = built.cluster.ssh("cp1", f"sudo {look} delete deployment hello")
    assert "Forbidden" in refused.stderr


def test_a_second_run_changes_nothing(built: Built) -> None:
    began = time.monotonic()
    said = good(built.cluster.play(SITE, *CONTROL_PLANES), "cluster.yml, second run", began)
    assert changed(said) == {"cp1": 0, "cp2": 0, "cp3": 0}, said


def test_api_and_hello_survive_the_machine_that_holds_the_address(built: Built) -> None:
    held = [name for name in ("cp1", "cp2", "cp3") if ENDPOINT in built.cluster.ssh(name, "ip -4 address").stdout]
    assert len(held) == 1
    admin, found = built.admin, built.cluster
    with asking(hello=lambda: hello(found), read=admin.read, write=admin.write) as answers:
        until(lambda: all(len(one.at) > 5 for one in answers.values()), "answers before")
        cut = time.monotonic()
        found.power_off(held[0])
        until(lambda: all(one.at[-1] > cut + 5 for one in answers.values()), "answers while a machine is off", 90)
        lost = {"cp1", "cp2", "cp3"} - set(held)
        until(lambda: nodes_ready(built) & {"cp1", "cp2", "cp3"} == lost, "its node to count as lost", 120)
        before = cut - 3
        tell("\n".join(f"{name} while {held[0]} is off: {one.words(before)}" for name, one in answers.items()))
        assert all(one.outage_s(before) < AWAY_S for one in answers.values()), answers
        back = time.monotonic()
        found.power_on(held[0])
        until(lambda: held[0] in nodes_ready(built), f"{held[0]} to be ready again", 180)
        tell(f"{held[0]} ready after {time.monotonic() - back:.0f} s")
        seen = time.monotonic()
        until(lambda: all(one.at[-1] > seen + 3 for one in answers.values()), "answers afterwards", 60)
        tell("\n".join(f"{name} as it comes back: {one.words(back)}" for name, one in answers.items()))
        assert all(one.outage_s(back) < AWAY_S for one in answers.values()), answers


def test_a_machine_cut_short_is_named_and_taken_back_on_purpose(built: Built) -> None:
    sudo(built.cluster, "cp3", "rm /etc/kubernetes/joined")  # as after a join that was stopped before its end
    done = built.cluster.play(SITE, *CONTROL_PLANES)
    assert done.returncode != 0
    assert "cp3 is half part of a cluster" in done.stdout
    assert "kubeadm_reset" in done.stdout
    assert nodes_ready(built) >= {"cp1", "cp2", "cp3"}  # it was left alone

    nobody = built.cluster.play(BLUEPRINTS / "reset.yml")
    assert nobody.returncode != 0
    assert "Nothing was changed" in nobody.stdout
    good(
        built.cluster.play(BLUEPRINTS / "reset.yml", "-e", '{"kubeadm_reset_hosts": ["cp3"]}'),
        "reset.yml",
        time.monotonic(),
    )
    assert "cp3" not in built.admin.ready()
    began = time.monotonic()
    good(built.cluster.play(SITE, *CONTROL_PLANES), "cluster.yml, one control plane joins again", began)
    assert nodes_ready(built) >= {"cp1", "cp2", "cp3"}


def test_a_worker_is_added(built: Built) -> None:
    began = time.monotonic()
    good(built.cluster.play(SITE, "--limit", "w1", *SCHEDULABLE), "cluster.yml, a worker joins", began)
    until(lambda: "w1" in nodes_ready(built), "the worker to be ready", 120)
    said = good(built.cluster.play(SITE, "--limit", "w1", *SCHEDULABLE), "cluster.yml, the worker again", began)
    assert changed(said) == {"w1": 0}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('{"ingress_address": "192.168.178.22"}', "no machine's own"),
        ('{"kubernetes_images": "a,b"}', "kubernetes_images"),
        ('{"kubernetes_version": "1.32.0"}', "kubeadm upgrade"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_changed(built: Built, given: str, expected: str) -> None:
    done = built.cluster.play(SITE, *CONTROL_PLANES, "-e", given)
    assert done.returncode != 0
    assert expected in done.stdout + done.stderr
    assert set(changed(done.stdout).values()) == {0}
