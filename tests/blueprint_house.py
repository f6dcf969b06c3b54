"""Terraform blueprints with real Terraform and the real provider against the lab's Proxmox API, for tests."""

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.lab.bundle.cache import UnobtainableError
from deploy.lab.bundle.items import Bundle, obtain

ROOT = Path(__file__).parents[1]
BLUEPRINTS = ROOT / "deploy/blueprints/terraform"
NETWORK: dict[str, Any] = {
    "template_id": 9000,
    "template_node": "pve1",
    "datastore": "ceph",
    "gateway": "192.168.178.1",
    "ssh_public_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJzb5NGzXZQ2b0ioUYCEDH0zzpm3wB0Ba/FdbkZFv5rU ana"],
}


@dataclasses.dataclass(frozen=True)
class Lab:
    url: str
    ca: str
    audit_token: str
    write_token: str
    agent_token: str
    pid: int

    def lab(self, path: str, body: dict[str, Any] | None = None) -> Any:
        method = "GET" if body is None else "POST"
        answer = requests.request(method, f"{self.url}/lab/{path}", json=body, verify=self.ca, timeout=5)
        assert answer.ok, answer.text
        return answer.json()

    def api(self, path: str) -> Any:
        headers = {"Authorization": f"PVEAPIToken={self.write_token}"}
        answer = requests.get(f"{self.url}/api2/json{path}", headers=headers, verify=self.ca, timeout=5)
        assert answer.ok, answer.reason
        return answer.json()["data"]

    def names(self) -> dict[str, str]:
        rows = self.api("/cluster/resources?type=vm")
        return {row["name"]: row["node"] for row in rows if not row["template"]}


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A folder with the blueprints beside their caller, and Terraform run in it with nothing of our environment."""

    folder: Path
    bundle: Bundle
    lab: Lab
    blueprint: str
    settings: dict[str, Any]
    outputs: tuple[str, ...]

    def write(self, **settings: Any) -> None:
        call = {"module": {"it": {"source": f"./{self.blueprint}"} | self.settings | settings}}
        outputs = {"output": {name: {"value": f"${{module.it.{name}}}"} for name in self.outputs}}
        (self.folder / "main.tf.json").write_text(json.dumps(call | outputs))

    def start(self, *arguments: str, token: str = "", trust: bool = True) -> subprocess.Popen[str]:
        assert self.bundle.terraform is not None
        assert self.bundle.provider is not None
        environment = {
            "TF_CLI_CONFIG_FILE": str(self.bundle.provider.terraformrc),
            "TMPDIR": str(self.folder.parent / "tmp"),
            "PROXMOX_VE_ENDPOINT": self.lab.url,
            "PROXMOX_VE_API_TOKEN": token or self.lab.audit_token,
        } | ({"SSL_CERT_FILE": self.lab.ca} if trust else {})
        command = [str(self.bundle.terraform.path), f"-chdir={self.folder}", *arguments]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, expect: int = 0, **options: Any) -> str:
        process = self.start(*arguments, **options)
        text, _ = process.communicate(timeout=120)
        assert process.returncode == expect, text
        return text

    def init(self) -> None:
        self.run("init", "-input=false", "-no-color")

    def plan(self, **options: Any) -> dict[str, int]:
        """Plan with the audit token and count what it would do."""
        self.run("plan", "-input=false", "-no-color", "-out=saved.plan", **options)
        shown = json.loads(self.run("show", "-json", "saved.plan"))
        counts = {"create": 0, "update": 0, "delete": 0}
        for change in shown["resource_changes"]:
            for action in change["change"]["actions"]:
                if action in counts:
                    counts[action] += 1
        return counts

    def apply(self, **options: Any) -> list[dict[str, Any]]:
        text = self.run("apply", "-input=false", "-json", "saved.plan", token=self.lab.write_token, **options)
        return [json.loads(line) for line in text.splitlines()]

    def read_outputs(self) -> dict[str, Any]:
        return {name: output["value"] for name, output in json.loads(self.run("output", "-json")).items()}

    def complaints(self, **settings: Any) -> list[str]:
        """What a plan with these settings is refused with."""
        self.write(**settings)
        text = self.run("plan", "-input=false", "-json", expect=1)
        lines = [json.loads(line) for line in text.splitlines()]
        return [line["diagnostic"]["detail"] for line in lines if line["type"] == "diagnostic"]

    def managed(self) -> set[str]:
        listed = self.run("state", "list").splitlines()
        return {line.partition('["')[2].rstrip('"]') for line in listed}


def obtain_bundle() -> Bundle:
    """Terraform and the provider; the test is skipped where they cannot be had."""
    try:
        return obtain(["terraform", "provider"], ROOT / ".cache/lab")
    except UnobtainableError as missing:
        pytest.skip(f"needs real binaries: {missing}")


@contextlib.contextmanager
def run_lab(folder: Path) -> Generator[Lab]:
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "deploy.lab.proxmox", "--data", str(folder / "data"), "--ready-file", str(ready)]
    process = subprocess.Popen([*command, "--pace", "0"], stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        deadline = time.monotonic() + 20
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Lab(**json.loads(ready.read_text()))
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0


@contextlib.contextmanager
def open_workspace(
    base: Path, bundle: Bundle, blueprint: str, settings: dict[str, Any], outputs: tuple[str, ...]
) -> Generator[Workspace]:
    """`base` must be short: the provider's socket lies in it, and its whole path must stay below 108 characters."""
    (base / "tmp").mkdir()
    for folder in BLUEPRINTS.iterdir():
        shutil.copytree(folder, base / "ws" / folder.name)
    with run_lab(base) as lab:
        made = Workspace(base / "ws", bundle, lab, blueprint, NETWORK | settings, outputs)
        made.write()
        made.init()
        yield made
