"""What a reviewer would refuse in the Terraform blueprints, looked for in their text. No Terraform needed."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

HCL: Any = importlib.import_module("hcl2")  # no type information
FOLDER = Path(__file__).parents[2] / "deploy/blueprints/terraform"
NAMES = ("proxmox-cluster", "proxmox-vms")
each = pytest.mark.parametrize("blueprint", NAMES)


def read_text(blueprint: str) -> str:
    """All its code without comments."""
    files = sorted((FOLDER / blueprint).glob("*.tf"))
    return "\n".join(re.sub(r"(?m)^\s*#.*$", "", file.read_text()) for file in files)


def unquote(value: str) -> str:
    return value.strip('"')


def read_blocks(blueprint: str, kind: str) -> dict[str, Any]:
    """Blocks of one kind by their last label."""
    found: dict[str, Any] = {}
    for file in sorted((FOLDER / blueprint).glob("*.tf")):
        for block in HCL.loads(file.read_text()).get(kind, []):
            label, body = next(iter(block.items()))
            if kind == "resource":
                label, body = next(iter(body.items()))
            found[unquote(label)] = body
    return found


def test_there_is_no_other_blueprint() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == list(NAMES)


@each
def test_it_is_plain_terraform_files_and_a_readme(blueprint: str) -> None:
    files = {path.name for path in (FOLDER / blueprint).iterdir()}
    assert files == {"main.tf", "outputs.tf", "variables.tf", "versions.tf", "README.md"}


@each
@pytest.mark.parametrize("kind", ["provider", "data", "import", "moved", "removed", "check"])
def test_it_has_no_block_of_another_kind(blueprint: str, kind: str) -> None:
    assert read_blocks(blueprint, kind) == {}


@each
@pytest.mark.parametrize(
    "word",
    [
        r"provisioner\b",
        r"\bconnection\s*\{",
        r"\bexternal\b",
        r"\bbackend\b",
        r"\bcloud\s*\{",
        r"\bfile\w*\(",
        r"templatefile\(",
        r"\blocal-exec\b",
        r"\bsensitive\b",
        r"\bpassword\b",
        r"\bapi_token\b",
        r"\bargs\b|kvm_arguments",
        r"hook_script",
        r"user_data_file_id|vendor_data_file_id",
    ],
)
def test_it_runs_no_code_reads_no_file_and_holds_no_secret(blueprint: str, word: str) -> None:
    assert re.search(word, read_text(blueprint)) is None


def test_machines_are_made_in_one_place() -> None:
    assert list(read_blocks("proxmox-vms", "resource")) == ["this"]
    assert read_blocks("proxmox-vms", "module") == read_blocks("proxmox-vms", "locals") == {}
    assert read_blocks("proxmox-cluster", "resource") == {}
    assert unquote(read_blocks("proxmox-cluster", "module")["vms"]["source"]) == "../proxmox-vms"


@each
def test_provider_is_the_pinned_one(blueprint: str) -> None:
    versions = (FOLDER / blueprint / "versions.tf").read_text()
    assert re.search(r'source\s*=\s*"bpg/proxmox"', versions)
    assert re.search(r'version\s*=\s*"0\.111\.1"', versions)


@each
def test_every_variable_says_what_it_is_and_refuses_nonsense(blueprint: str) -> None:
    variables = read_blocks(blueprint, "variable")
    needed = {name for name, body in variables.items() if "default" not in body}
    assert needed >= {"template_id", "template_node", "datastore", "gateway"}
    assert needed & {"vms", "control_planes"}
    # What the cluster hands on unchanged is checked by proxmox-vms, whose messages name the same variables.
    handed_on = read_blocks("proxmox-vms", "variable") if blueprint == "proxmox-cluster" else {}
    for name, body in variables.items():
        assert unquote(body["description"]), name
        rules = [*body.get("validation", []), *handed_on.get(name, {}).get("validation", [])]
        assert rules or unquote(str(body["type"])) in {"bool", "${bool}"}, name
        messages = [unquote(rule["error_message"]) for rule in rules]
        assert all(message.endswith(".") and len(message) > 20 for message in messages), name


def test_what_is_handed_on_is_the_same_variable() -> None:
    own, base = read_blocks("proxmox-cluster", "variable"), read_blocks("proxmox-vms", "variable")
    same = set(own) & set(base) - {"ssh_public_keys", "tags"}
    for name in same:
        assert {key: own[name].get(key) for key in ("type", "default", "description")} == {
            key: base[name].get(key) for key in ("type", "default", "description")
        }, name
    assert same >= {"template_id", "gateway", "ipv4_prefix", "username"}


def test_outputs_are_facts_by_name() -> None:
    assert set(read_blocks("proxmox-vms", "output")) == {"names", "vm_ids", "nodes", "ipv4_addresses"}
    assert set(read_blocks("proxmox-cluster", "output")) == {"inventory", "vm_ids", "nodes", "survives_loss_of"}


@each
def test_readme_names_every_variable_and_output(blueprint: str) -> None:
    readme = (FOLDER / blueprint / "README.md").read_text()
    for name in [*read_blocks(blueprint, "variable"), *read_blocks(blueprint, "output")]:
        assert f"`{name}`" in readme, name
