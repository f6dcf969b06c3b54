"""python -m tests.lan_playbook FOLDER: a playbook through the program's own tools, against the machines of a cluster house.

FOLDER is the house's (tests/cluster_house.py): key, known_hosts and site_vars.yaml. Prints the result as JSON. Started
through `deploy.lab.hosts.enter` it reaches the machines.
"""

import asyncio
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.ansible_house import AnsibleHouse
from tests.ssh_house import Sshd
from tools.hosts import Host

KUBECTL = "{{ kubernetes_download_url }}/v{{ kubernetes_version }}/bin/linux/amd64/kubectl"
PLAYBOOK = f"""- name: Site
  hosts: all
  become: true
  gather_facts: false
  tasks:
    - name: Fetch kubectl
      ansible.builtin.get_url:
        url: "{KUBECTL}"
        dest: /usr/local/bin/kubectl
        mode: "0755"
        checksum: "sha256:{KUBECTL}.sha256"
    - name: Say its version
      ansible.builtin.command:
        argv: [kubectl, version, --client]
      changed_when: false
"""


@dataclass(frozen=True)
class Reached:
    """What AnsibleHouse asks of its server: the host and the key that logs in."""

    host: Host
    key: Path


async def main(folder: Path) -> None:
    address, *key = (folder / "known_hosts").read_text().split()[:3]
    server = Reached(Host("cp1", address, "ops", (" ".join(key),), 22, ("control_plane",)), folder / "key")
    with tempfile.TemporaryDirectory(prefix="wba") as data:
        Path(data).chmod(0o711)  # so that a child with a user of its own gets there
        shutil.copyfile(folder / "site_vars.yaml", Path(data) / "site_vars.yaml")
        house = AnsibleHouse(Path(data), cast("Sshd", server))
        for _ in range(2):
            done = await house.approved(PLAYBOOK)
            sys.stdout.write(json.dumps({"status": done.status, "text": done.text}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
