"""What a reviewer would refuse in the blueprint, looked for in its text. No Terraform needed."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

HCL: Any = importlib.import_module("hcl2")  # no type information
FOLDER = Path(__file__).parents[2] / "deploy/blueprints/terraform/proxmox-vms"
FILES = sorted(FOLDER.glob("*.tf"))
TEXT = "\n".join(re.sub(r"(?m)^\s*#.*$", "", file.read_text()) for file in FILES)


def unquote(value: str) -> str:
    return value.strip('"')


def read_blocks(kind: str) -> dict[str, Any]:
    """Blocks of one kind by their last label."""
    found: dict[str, Any] = {}
    for file in FILES:
        for block in HCL.loads(file.read_text()).get(kind, []):
            label, body = next(iter(block.items()))
            if kind == "resource":
                label, body = next(iter(body.items()))
            found[unquote(label)] = body
    return found


def test_it_is_plain_terraform_files_and_a_readme() -> None:
    assert {file.name for file in FILES} == {"main.tf", "outputs.tf", "variables.tf", "versions.tf"}
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".tf"} == {"README.md"}


@pytest.mark.parametrize("kind", ["provider", "data", "module", "locals", "import", "moved", "removed", "check"])
def test_it_has_no_block_of_another_kind(kind: str) -> None:
    assert read_blocks(kind) == {}


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
def test_it_runs_no_code_reads_no_file_and_holds_no_secret(word: str) -> None:
    assert re.search(word, TEXT) is None


def test_the_one_resource_is_a_machine_from_the_pinned_provider() -> None:
    assert list(read_blocks("resource")) == ["this"]
    versions = (FOLDER / "versions.tf").read_text()
    assert re.search(r'source\s*=\s*"bpg/proxmox"', versions)
    assert re.search(r'version\s*=\s*"0\.111\.1"', versions)


def test_every_variable_says_what_it_is_and_refuses_nonsense() -> None:
    variables = read_blocks("variable")
    assert {"vms", "template_id", "template_node", "datastore", "gateway"} <= {
        name for name, body in variables.items() if "default" not in body
    }
    for name, body in variables.items():
        assert unquote(body["description"]), name
        messages = [unquote(rule["error_message"]) for rule in body["validation"]]
        assert all(message.endswith(".") and len(message) > 20 for message in messages), name


def test_the_outputs_are_facts_by_name() -> None:
    assert set(read_blocks("output")) == {"names", "vm_ids", "nodes", "ipv4_addresses"}


def test_the_readme_names_every_variable_and_output() -> None:
    readme = (FOLDER / "README.md").read_text()
    for name in [*read_blocks("variable"), *read_blocks("output")]:
        assert f"`{name}`" in readme, name
