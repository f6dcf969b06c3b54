"""The program's probes stand on the LAN side: an address that no machine owns by itself is seen from there, and its loss."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.stack import LAN
from tests.hosts_house import ROOT, HostsLab, hosts_lab, real_machines, said, until

pytestmark = [pytest.mark.e2e, *real_machines]
VIRTUAL = "192.168.178.31"
MACHINES = {101: "192.168.178.21", 102: "192.168.178.22"}
KEEPALIVED = """vrrp_instance PAGE {
  state BACKUP
  interface eth0
  virtual_router_id 52
  priority %(priority)d
  advert_int 1
  unicast_src_ip %(own)s
  unicast_peer {
    %(other)s
  }
  virtual_ipaddress {
    %(virtual)s/24
  }
}
"""
SERVE = "sudo sh -c 'mkdir -p /srv/hello && echo hello from $(hostname) > /srv/hello/index.html'; sudo systemd-run -q --unit=hello python3 -m http.server 80 -d /srv/hello"


def probe(lab: HostsLab, tool: str, **arguments: Any) -> dict[str, Any]:
    enter = [sys.executable, "-m", "deploy.lab.hosts.enter", str(lab.keeper), "--"]
    command = [*enter, sys.executable, "-m", "tests.lan_probes", LAN, tool, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def serve(lab: HostsLab, vmid: int, others: str) -> None:
    """A page, and keepalived that holds the virtual address while it is the first that lives."""
    conf = KEEPALIVED % {"priority": 200 - vmid, "own": MACHINES[vmid], "other": others, "virtual": VIRTUAL}
    with lab.ssh(vmid, MACHINES[vmid], timeout_s=60) as client:
        said(client, SERVE)
        said(client, f"echo {shlex.quote(conf)} | sudo tee /etc/keepalived/keepalived.conf > /dev/null")
        said(client, "sudo systemctl start keepalived")


def test_virtual_address_is_probed_from_the_lan_while_it_moves_between_machines(tmp_path: Path) -> None:
    def hello(name: str) -> dict[str, Any] | None:
        page = probe(lab, "http_probe", url=f"http://{VIRTUAL}/", timeout_s=2)
        return page if f"hello from {name}" in page["text"] else None

    with hosts_lab(tmp_path) as lab:
        for vmid, address in MACHINES.items():
            lab.create(vmid, f"cp{vmid - 100}", address)
        for vmid, other in ((101, MACHINES[102]), (102, MACHINES[101])):
            serve(lab, vmid, other)
        page = until(lambda: hello("cp1"), "the first one's page at the virtual address", 60)
        assert (page["status"], page["facts"]["status"]) == ("ok", 200)
        assert probe(lab, "tcp_probe", host=VIRTUAL, port=80)["status"] == "ok"
        lab.fault("power_off", vmid=101)
        until(lambda: hello("cp2"), "the other one's page at the same address", 60)
        assert probe(lab, "http_probe", url=f"http://{MACHINES[101]}/", timeout_s=2)["status"] == "failed"
        assert probe(lab, "http_probe", url="http://203.0.113.1/")["status"] == "cannot"  # outside of the allow list
