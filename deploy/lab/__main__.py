"""python -m deploy.lab: the pretend data centre and the real program against it, until Ctrl-C; or played by itself."""

import argparse
import sys
import threading
from pathlib import Path

from deploy.lab.bundle.cache import UnobtainableError
from deploy.lab.headless import play
from deploy.lab.lifetime import ended_by_signal
from deploy.lab.stack import MODELS, REACHES, SCENARIOS, Lab, LabError, Options, running

MISSION = (
    "@Architect Please create three VMs for control planes, spread over both nodes, with fixed addresses "
    "192.168.178.21 to 192.168.178.23."
)
WHOLE = (
    "@Architect I have two mini-PCs with Proxmox VE 9. Build a highly available Kubernetes cluster on them with an "
    "ingress controller and a hello-world app that I can reach from my LAN."
)


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bot demo", description=__doc__)
    parser.add_argument(
        "--headless", action="store_true", help="play requester and approver, print the thread and one JSON line"
    )
    parser.add_argument(
        "--reach",
        choices=REACHES,
        default="api",
        help="api: machines are entries; hosts: real ones; cluster: and what Kubernetes is made of",
    )
    parser.add_argument("--port", type=int, default=8765, help="of the page; 0: any free one (default 8765)")
    names = sorted(path.stem for path in SCENARIOS.glob("*.yaml"))
    parser.add_argument("--scenario", choices=names, help="what the lab's model plays")
    parser.add_argument(
        "--provider", choices=sorted(MODELS), default="openai", help="which wire format the program speaks"
    )
    parser.add_argument("--keep", type=Path, help="keep the run's folder (logs, state) here")
    parser.add_argument("--cache", type=Path, default=Options().cache, help="folder of the binaries")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    given = read_arguments(sys.argv[1:] if arguments is None else arguments)
    port = 0 if given.headless else given.port
    scenario = given.scenario or ("ha-cluster" if given.reach == "cluster" else "three-vms")
    options = Options(given.cache, given.reach, scenario, given.provider, port, keep=given.keep)
    ended = ended_by_signal()
    if given.reach != "api":
        print(HOSTS.format(reach=given.reach, cache=given.cache), end="", flush=True)
        print(CLUSTER if given.reach == "cluster" else "", end="", flush=True)
    try:
        with running(options, lambda line: print(line, flush=True)) as lab:
            print("lab: the program", flush=True)
            lab.start_program(tied=True)
            if given.headless:
                return play(
                    lab, WHOLE if scenario in {"whole-cluster", "ha-cluster"} else MISSION, ended, LIMITS_S[given.reach]
                )
            lab.call("slack", "/lab/suggestions", suggest(given.reach))
            print(WELCOME.format(url=lab.url, folder=lab.folder, way=describe_way(lab)), flush=True)
            watch_program(lab, ended)
            print("\nlab: ending everything", flush=True)
    except (LabError, UnobtainableError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def suggest(reach: str) -> list[dict[str, str]]:
    """The missions that the page offers, first the one that this reach can bring to its end."""
    vms = {"title": "Three VMs for control planes", "text": MISSION}
    if reach == "cluster":
        return [{"title": "The whole cluster", "text": WHOLE}, vms]
    return [vms, {"title": "The whole cluster (ends partial here)", "text": WHOLE}]


def describe_way(lab: Lab) -> str:
    """How a person gets into the machines, which are in a network that this computer does not see."""
    if not lab.keeper:
        return ""
    enter = f"{sys.executable} -m deploy.lab.hosts.enter {lab.keeper} --"
    return f"  The machines' LAN: {enter} ping -c 1 192.168.178.21   (any program in place of ping; ssh, bash)\n\n"


def watch_program(lab: Lab, ended: threading.Event) -> None:
    """Wait for Ctrl-C; a program that ends by itself is an error with its log's place."""
    while not ended.wait(1.0):
        if lab.processes["program"].poll() is not None:
            raise LabError(f"the program ended by itself; its log is {lab.folder / 'program.log'}")


LIMITS_S = {"api": 300.0, "hosts": 300.0, "cluster": 1800.0}  # of a mission that is played
HOSTS = """lab: real machines (LAB={reach}). Installs nothing outside of this folder.
lab: makes once, in {cache}: Debian 12 by debootstrap, about 650 MB, 2 to 4 minutes
lab: starts: network, mount and process namespaces of its own, and in them one systemd-nspawn machine for every VM that
lab: runs in its Proxmox VE; this computer's network is not touched, and all of it goes when the lab ends
"""
CLUSTER = """lab: makes once, beside it: Kubernetes with all it needs, about 1.5 GB: downloaded where the internet is there, else
lab: built through the Go module proxy (Go >= 1.24, 10 to 30 minutes, 10 GB in Go's own caches); images are made here
lab: starts as well: a mirror of these on the machines' LAN. A cluster of three takes about 2 GiB of memory
"""
WELCOME = """
  Open {url}

  Three things to try
  1. You are ana, and the mission is written already: press Enter; watch the thread at the right.
  2. When the approval card comes, press Deny… as bo with a reason ("2 GiB is enough"), and see the Builder change course.
  3. Press Approve as ana (you asked for it, so you may not), then as bo. /cluster-status shows the machines.

{way}  Logs: {folder} until the end (--keep FOLDER keeps them)   Ctrl-C ends everything.
"""

if __name__ == "__main__":
    sys.exit(main())
