"""Knowledge of errors: what is wrong with a file is said with file and field, and every file is proven at start."""

from pathlib import Path

import pytest

from bot.policy.knowledge import LINES, TEXT, TITLE, Knowledge, load_knowledge
from bot.policy.problems import PolicyError
from bot.policy.signatures import signature_of

PERSONAS = Path(__file__).resolve().parents[2] / "personas"

GOOD = {
    "name": "vm-locked",
    "patterns": "['VM is locked']",
    "match": "['TASK ERROR: VM is locked (clone)']",
    "not_match": "['TASK ERROR: something else failed']",
}
TEXT_OF = "Cause: another operation.\nCheck: its task.\nMend: wait.\n"


def written(folder: Path, name: str = "vm-locked", *, text: str = TEXT_OF, **fields: str) -> Path:
    lines = "".join(f"{key}: {value}\n" for key, value in {**GOOD, "name": name, **fields}.items() if value)
    path = folder / "skills" / "errors" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{lines}---\n{text}", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def house() -> Knowledge:
    return load_knowledge(PERSONAS)


def test_a_file_is_found_by_its_error_whatever_the_tool(tmp_path: Path) -> None:
    written(tmp_path)
    known = load_knowledge(tmp_path)
    assert known.names == ("vm-locked",)
    assert known.told("TASK ERROR: vm is LOCKED (backup)", "proxmox_read") == f"{TITLE}: vm-locked\n{TEXT_OF.strip()}"
    assert known.told("TASK ERROR: no such thing", "proxmox_read") == ""
    assert known.told("", "proxmox_read") == ""


def test_no_folder_is_no_knowledge(tmp_path: Path) -> None:
    assert load_knowledge(tmp_path).names == ()


def test_a_family_narrows_and_the_form_stands_in_for_a_tool(tmp_path: Path) -> None:
    written(tmp_path, tools="[proxmox]")
    known = load_knowledge(tmp_path)
    text = "TASK ERROR: VM is locked (clone)"
    found = [signature_of(text, tool, known).knowledge for tool in ("proxmox_change", "", "terraform_apply")]
    assert found == ["vm-locked", "vm-locked", None]


def test_the_longest_explanation_wins_and_equal_ones_by_name(tmp_path: Path) -> None:
    written(tmp_path, "vm-any", patterns="['VM is']", match="['TASK ERROR: VM is gone']")
    written(tmp_path, "vm-locked", patterns="['VM is locked']")
    known = load_knowledge(tmp_path)
    assert known.fitting("TASK ERROR: VM is locked (clone)", "") == "vm-locked"
    assert known.fitting("TASK ERROR: VM is gone", "") == "vm-any"
    written(tmp_path, "vm-also", patterns="['VM is']", match="['TASK ERROR: VM is off']")
    with pytest.raises(PolicyError, match=r"vm-any.md: match.0: vm-also fits it"):
        load_knowledge(tmp_path)


WRONG = [
    ({"name": "vm-other"}, "name", "is not the file's name"),
    ({"colour": "red"}, "colour", "Extra inputs are not permitted. Known fields: name, patterns, tools, match, not_match"),
    ({"patterns": ""}, "patterns", "Field required"),
    ({"patterns": "[]"}, "patterns", "at least 1 item"),
    ({"patterns": "['VM (is locked']"}, "patterns.0", "this is no pattern"),
    ({"patterns": "['VM is locked', '(?:x|y|)?(?:ab|)']"}, "patterns.1", "it fits any error"),
    ({"patterns": "['VM is locked', '(?:VM )+is']"}, "patterns.1", "repeats are unbounded"),
    ({"patterns": "['VM.*is.*locked.*']"}, "patterns.0", "repeats are unbounded"),
    ({"patterns": "['VM.{2,}locked']"}, "patterns.0", "repeats are unbounded"),
    ({"tools": "[excel]"}, "tools.0", "Input should be 'terraform'"),
    ({"match": ""}, "match", "Field required"),
    ({"match": "[]"}, "match", "at least 1 item"),
    ({"not_match": ""}, "not_match", "Field required"),
    ({"match": "['TASK ERROR: all is well, only not']"}, "match.0", "no pattern fits it; its normal form is: TASK ERROR"),
    ({"not_match": "['VM is locked (clone)']"}, "not_match.0", "it fits; its normal form is: VM is locked"),
    ({"match": "[12345678]"}, "match.0", "valid string"),
    ({"match": "'unclosed"}, "header", "this is no YAML"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "field", "words"), WRONG, ids=[f"{field}-{n}" for n, (_, field, _) in enumerate(WRONG)]
)
def test_what_is_wrong_is_said_with_file_and_field(
    tmp_path: Path, fields: dict[str, str], field: str, words: str
) -> None:
    path = written(tmp_path)
    lines = "".join(f"{key}: {value}\n" for key, value in {**GOOD, **fields}.items() if value)
    path.write_text(f"---\n{lines}---\n{TEXT_OF}", encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_knowledge(tmp_path)
    assert (caught.value.file, caught.value.field) == ("errors/vm-locked.md", field)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Cause: a\nMend: b\n", "no line that begins with Check:"),
        ("Cause: a\nCheck: b\nMend: c\n" + "more\n" * LINES, "longer than"),
        (f"Cause: a\nCheck: b\nMend: {'c' * TEXT}\n", "longer than"),
    ],
)
def test_a_text_is_short_and_complete(tmp_path: Path, text: str, words: str) -> None:
    written(tmp_path, text=text)
    with pytest.raises(PolicyError, match=f"vm-locked.md: text: .*{words}"):
        load_knowledge(tmp_path)


@pytest.mark.parametrize("content", [b"no header\n", b"text first\n---\na: b\n---\n", b"\xff\xfe\x00"])
def test_what_is_no_such_file_at_all(tmp_path: Path, content: bytes) -> None:
    written(tmp_path).write_bytes(content)
    with pytest.raises(PolicyError, match=r"errors/vm-locked\.md"):
        load_knowledge(tmp_path)


# The house's own files ---------------------------------------------------------------------------------------------


def test_the_house_knows_what_its_failures_and_its_trade_ask_for(house: Knowledge) -> None:
    assert len(house.names) >= 30
    asked = {
        "nft-capability", "nft-missing", "tfvars-in-tf", "provider-name", "vm-locked", "cloud-init-running",
        "known-hosts-changed", "quorum-lost", "apt-lock", "clock-skew", "disk-full", "dns-unresolved",
        "connection-refused", "connection-timeout", "pve-permission", "storage-missing", "storage-full",
        "template-missing", "vmid-in-use", "address-in-use", "terraform-state-lock", "terraform-plan-stale",
        "terraform-checksum", "invalid-hcl", "sudo-password", "python-missing", "string-for-list", "ansible-undefined",
        "kubeadm-swap", "kubeadm-port", "kubeadm-runtime", "etcd-unhealthy", "image-pull", "certificate-expired",
        "out-of-memory", "guest-agent-missing", "snapshot-unsupported",
    }  # fmt: skip
    assert asked <= set(house.names)


def test_every_file_of_the_house_fits_a_models_context() -> None:
    for path in sorted((PERSONAS / "skills" / "errors").glob("*.md")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 25, path.name


@pytest.mark.parametrize(
    ("text", "tool", "name"),
    [
        ("Refused before anything was run:\nvms.tf:1: not HCL; if these are values of variables, name the file vms.auto.tfvars",
         "terraform_plan", "tfvars-in-tf"),
        ("Refused before anything was run:\nmain.tf:3: this provider would fetch hashicorp/proxmox, which does not exist; write it",
         "terraform_validate", "provider-name"),
        (("terraform init failed (exit 1):\nError: Failed to query available provider packages: Could not retrieve the list of "
         "available versions for provider packagedata/proxmox: provider registry registry.terraform.io does not have a provider "
         "named registry.terraform.io/packagedata/proxmox"), "terraform_plan", "provider-name"),
        ("Terraform plan failed (exit 1):\nError: error retrieving VM: received an HTTP 403 response - Reason: Permission check failed (/, Sys.Audit)",
         "terraform_plan", "pve-permission"),
        ("The estate is in use: mission 12 since 10:04. Plan again when it is free.", "terraform_plan", "terraform-state-lock"),
        (('fatal: [cp2]: FAILED! => {"changed": true, "msg": "non-zero return code", "rc": 1, "stderr": '
         '"/etc/nftables.conf:2:1-14: Error: Could not process rule: Operation not permitted\\nflush ruleset\\n^^^^"}'),
         "ansible_run", "nft-capability"),
        ("Failed to start nftables.service: Unit nftables.service not found.", "ssh_run", "systemd-unit-missing"),
    ],
)  # fmt: skip
def test_errors_as_the_tools_tell_them(house: Knowledge, text: str, tool: str, name: str) -> None:
    found = signature_of(text, tool, house)
    assert found.knowledge == name, found.words


@pytest.mark.parametrize(
    "text",
    [
        "There is no tool 'request_security_audit'.",
        "Not allowed: no passing verdict on exactly this revision",
        "http_probe: 200 in 9 ms",
        "The plan serves no open criterion.",
        "People have to decide.",
        "`old` occurs 2 times; it must occur exactly once",
    ],
)
def test_what_the_program_itself_refuses_is_no_known_error(house: Knowledge, text: str) -> None:
    assert house.told(text, "plan") == ""
