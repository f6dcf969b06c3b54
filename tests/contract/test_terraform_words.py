"""The knowledge fits what the real Terraform prints, as text and as JSON: no provider and no network is needed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.policy.knowledge import load_knowledge
from bot.policy.signatures import signature_of

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = shutil.which("terraform") or shutil.which("tofu")
KNOWN = load_knowledge(ROOT / "personas")

FOLDERS: dict[str, tuple[dict[str, str], str]] = {
    "values in a .tf file": ({"proxmox.vars.tf": 'pm_url = "x"\n'}, "tfvars-in-tf"),
    "a brace is missing": ({"main.tf": 'locals {\n  a = "b"\n'}, "invalid-hcl"),
    "prose": ({"main.tf": "Here is the file:\nresource proxmox vm\n"}, "invalid-hcl"),
    "an undeclared variable": ({"main.tf": "output a { value = var.node }\n"}, "undeclared-name"),
    "a missing module": ({"main.tf": 'module "vms" {\n  source = "./modules/vms"\n}\n'}, "terraform-module-missing"),
    "a cycle": ({"main.tf": "locals {\n  a = local.b\n  b = local.a\n}\noutput c { value = local.a }\n"}, "terraform-cycle"),
    "a wrong argument": ({"main.tf": 'variable "a" {\n  typo = string\n}\n'}, "unsupported-in-provider"),
    "no value": ({"main.tf": 'variable "node" {}\n', "plan": ""}, "variable-without-value"),
    "a string for a list": (
        {"main.tf": 'variable "a" {\n  type = list(string)\n}\n', "x.auto.tfvars": 'a = "10.0.0.0/8"\n', "plan": ""},
        "terraform-type",
    ),
}  # fmt: skip


def run(folder: Path, *arguments: str) -> str:
    assert TERRAFORM is not None
    bounds = {"HOME": str(folder), "PATH": os.defpath, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    done = subprocess.run(
        [TERRAFORM, *arguments], cwd=folder, env=bounds, capture_output=True, text=True, check=False, timeout=120
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.skipif(TERRAFORM is None, reason="neither terraform nor tofu is on PATH")
@pytest.mark.parametrize("case", FOLDERS)
def test_what_terraform_prints_is_known(tmp_path: Path, case: str) -> None:
    files, name = FOLDERS[case]
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    said: list[str] = []
    if "plan" in files:
        run(tmp_path, "init", "-input=false")
        said = [run(tmp_path, "plan", "-input=false", *more) for more in ((), ("-json",))]
    else:
        init = run(tmp_path, "init", "-input=false")
        said = [init] if init else [run(tmp_path, "validate", *more) for more in ((), ("-json",))]
    found = [signature_of(text, "terraform_plan", KNOWN) for text in said]
    assert {one.knowledge for one in found} == {name}, [one.words for one in found]
    assert len({one.key for one in found}) == 1, "text and JSON are one error"
