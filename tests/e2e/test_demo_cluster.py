"""Reach `cluster` from start to end: the mirror serves the machines, the program knows the site, and nothing stays."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy.lab.bundle.cache import hash_file
from deploy.lab.stack import Options, running
from tests.ansible_house import needs_ansible
from tests.cluster_house import cluster, needs_bundle
from tests.e2e.test_demo_hosts import FOLDER, demo_in, living_in, namespaces_of
from tests.hosts_house import ROOT, until
from tests.traces_house import footprint, links

pytestmark = [pytest.mark.e2e, *needs_bundle]


def enter(keeper: int, *command: str) -> subprocess.CompletedProcess[str]:
    into = [sys.executable, "-m", "deploy.lab.hosts.enter", str(keeper), "--", *command]
    return subprocess.run(into, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_the_programs_of_a_cluster_are_on_the_lan_and_the_program_knows_where() -> None:
    lines: list[str] = []
    with running(Options(reach="cluster", scenario="whole-cluster"), lines.append) as lab:
        assert lab.keeper
        said = "\n".join(lines)
        assert "kubeadm " in said
        assert "hello:1" in said  # one line for each item
        variables = yaml.safe_load(Path(lab.environment["WATCHBILL_SITE_VARS"]).read_text())
        assert variables == lab.mirror["site_variables"]
        image = next(one for one in variables["kubernetes_images"] if one["name"] == variables["hello_image"])
        for url, sum_ in (
            (f"{variables['kubernetes_download_url']}/v1.33.13/bin/linux/amd64/kubectl", None),
            (image["url"], image["sha256"]),
        ):
            fetched = lab.folder / "fetched"
            done = enter(lab.keeper, "curl", "-fsS", "-o", str(fetched), url)
            assert done.returncode == 0, done.stderr
            wanted = sum_ or enter(lab.keeper, "curl", "-fsS", f"{url}.sha256").stdout
            assert hash_file(fetched) == wanted
        index = f"{lab.mirror['url']}/images/index.json"
        inside = enter(lab.keeper, "curl", "-fsS", index).stdout
        assert json.loads(inside)
        outside = subprocess.run(["curl", "-s", "--max-time", "1", index], capture_output=True, text=True, check=False)
        assert outside.stdout != inside  # it is on the machines' LAN, and this computer's network does not have it
        key = Path(lab.environment["WATCHBILL_SSH_KEY"])
        assert (key.stat().st_mode & 0o777, key.with_name(f"{key.name}.pub").exists()) == (0o600, True)
        checked = subprocess.run(
            [sys.executable, "-m", "deploy.lab.hosts.enter", str(lab.keeper), "--", sys.executable, "-m", "bot", "check", "--json"],
            cwd=ROOT, env=lab.environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        rows = {row["what"]: row for row in json.loads(checked.stdout)}
        assert rows["site variables"]["text"] == f"{len(variables)} for every playbook"
        assert {
            what for what in ("ssh key", "site variables", "proxmox", "slack") if rows[what]["state"] != "ok"
        } == set()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_of_it_stays_whichever_way_it_ends(how: signal.Signals) -> None:
    before = links()
    demo, said = demo_in("cluster")
    assert demo.stdout is not None
    assert said.index("Kubernetes with all it needs") < said.index("lab: binaries")  # first what it will do
    found = FOLDER.search(said)
    assert found is not None
    folder = Path(found[1])
    keeper, server, mirror = (
        int(json.loads((folder / f"{name}.ready").read_text())[fact])
        for name, fact in (("proxmox", "keeper"), ("proxmox", "pid"), ("mirror", "pid"))
    )
    lab = namespaces_of(keeper) - namespaces_of(os.getpid())
    assert any("-m\0bot\0run" in command for command in living_in(lab))
    assert Path(f"/proc/{server}").exists()
    assert Path(f"/proc/{mirror}").exists()
    demo.send_signal(how)
    assert demo.wait(60) == (0 if how is signal.SIGINT else -how)
    demo.stdout.close()
    until(lambda: not living_in(lab), "the end of everything in the lab's namespaces", 30)
    until(lambda: not Path(f"/proc/{mirror}").exists(), "the mirror's end", 10)
    assert links() == before
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(folder) not in mounts
    if how is signal.SIGINT:
        assert not folder.exists()


def test_machines_leave_nothing_either(tmp_path: Path) -> None:
    with running(Options(reach="cluster", scenario="whole-cluster", keep=tmp_path), lambda _: None) as lab:
        assert lab.keeper
        start_template(lab.proxmox["url"], lab.proxmox["ca"], lab.proxmox["write_token"])
        seen = footprint(int(lab.proxmox["pid"]), lab.keeper, tmp_path)
    assert seen.left() == []


def start_template(url: str, ca: str, token: str) -> None:
    """A machine that runs, as little of one as there can be."""
    import requests

    headers = {"Authorization": f"PVEAPIToken={token}"}
    base = f"{url}/api2/json/nodes/pve1/qemu"
    for path, body in (
        ("/9000/clone", {"newid": 101, "name": "cp1", "full": 1}),
        ("/101/status/start", {}),
    ):
        upid = requests.post(f"{base}{path}", json=body, headers=headers, verify=ca, timeout=60).json()["data"]

        def ended(task: str = upid) -> bool:
            look = f"{url}/api2/json/nodes/pve1/tasks/{task}/status"
            return requests.get(look, headers=headers, verify=ca, timeout=60).json()["data"]["status"] == "stopped"

        until(ended, f"the end of {path}", 60)


@needs_ansible
def test_playbook_of_the_program_fetches_from_the_mirror_that_the_sites_variables_name(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", ["cp1"]) as house:
        (house.folder / "site_vars.yaml").write_text(yaml.safe_dump(house.mirror["site_variables"]))
        done = house.run(sys.executable, "-m", "tests.lan_playbook", str(house.folder), limit_s=600)
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["status"] for one in results] == ["ok", "ok"], done.stdout + done.stderr
        assert "cp1: ok 2 changed 1" in results[0]["text"]
        assert "cp1: ok 2 changed 0" in results[1]["text"]  # a second run changes nothing
        version = house.mirror["site_variables"]["kubernetes_version"]
        assert f"v{version}" in house.ssh("cp1", "kubectl version --client").stdout
