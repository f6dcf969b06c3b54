"""An error's identity: the same error written otherwise has one key, another error another (rows 8 and 13)."""

import json
import re
from pathlib import Path

import pytest

from bot.policy.error_cores import AROUND, CORES, HEAD, HITS, SIGNS, TAIL, excerpt
from bot.policy.error_words import KEPT, normal
from bot.policy.signatures import NOTHING, family_of, signature_of

TRANSCRIPTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "transcripts"

PHANTOM = (
    "Could not retrieve the list of available versions for provider hashicorp/proxmox: provider registry "
    "registry.terraform.io does not have a provider named registry.terraform.io/hashicorp/proxmox"
)
BOXED = """
\x1b[31m╷\x1b[0m
\x1b[31m│\x1b[0m \x1b[1mError: \x1b[0mFailed to query available provider packages
\x1b[31m│\x1b[0m
\x1b[31m│\x1b[0m Could not retrieve the list of available versions for provider
\x1b[31m│\x1b[0m hashicorp/proxmox: provider registry registry.terraform.io does not have a
\x1b[31m│\x1b[0m provider named registry.terraform.io/hashicorp/proxmox
\x1b[31m│\x1b[0m
\x1b[31m│\x1b[0m All modules should specify their required_providers
\x1b[31m╵\x1b[0m
"""
DIAGNOSTIC = {
    "severity": "error",
    "summary": "Failed to query available provider packages",
    "detail": f"{PHANTOM}\n\nAll modules should specify their required_providers",
}
SPELLINGS = {
    "boxed": BOXED,
    "a line of plan -json": json.dumps(
        {"@level": "error", "@message": "Error: Failed to query", "diagnostic": DIAGNOSTIC, "type": "diagnostic"}
    ),
    "validate -json": json.dumps({"valid": False, "error_count": 1, "diagnostics": [DIAGNOSTIC]}, indent=2),
    "other field order": json.dumps({"diagnostics": [dict(sorted(DIAGNOSTIC.items()))]}),
    "cut JSON": json.dumps({"diagnostics": [DIAGNOSTIC]})[:-3],
    "the program's own line": f"terraform init failed (exit 1):\nError: {DIAGNOSTIC['summary']}: {PHANTOM} Did you intend to use bpg/proxmox?",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_terraform_says_it_in_many_ways(spelling: str) -> None:
    found = signature_of(SPELLINGS[spelling], "terraform_plan")
    assert found.key == signature_of(BOXED, "terraform_plan").key
    assert found.form == "terraform"
    assert found.words.startswith("Failed to query available provider packages: Could not retrieve")


ANSIBLE = {
    "default": 'TASK [x] ***\nfatal: [cp1]: FAILED! => {"changed": false, "msg": "No package matching \'kubelet\' is available"}\n',
    "another host": 'fatal: [web-7.example.com]: FAILED! => {"msg": "No package matching \'kubelet\' is available"}',
    "delegated": 'fatal: [cp1 -> localhost]: FAILED! => {"msg": "No package matching \'kubelet\' is available"}',
    "an item": 'failed: [cp1] (item=kubelet) => {"msg": "No package matching \'kubelet\' is available"}',
    "yaml": "fatal: [cp1]: FAILED! => changed=false \n  msg: No package matching 'kubelet' is available\n",
    "yaml, folded": "fatal: [cp1]: FAILED! => changed=false \n  msg: |-\n    No package matching 'kubelet' is available\n  rc: 1\n",
    "pretty": 'fatal: [cp1]: FAILED! => {\n    "changed": false,\n    "msg": "No package matching \'kubelet\' is available"\n}\n',
    "ad hoc": 'cp1 | FAILED! => {"msg": "No package matching \'kubelet\' is available"}',
    "three hosts": "\n".join(
        f'fatal: [cp{n}]: FAILED! => {{"msg": "No package matching \'kubelet\' is available"}}' for n in (3, 1, 2)
    ),
    "event": json.dumps(
        {"event": "runner_on_failed", "event_data": {"res": {"msg": "No package matching 'kubelet' is available"}}}
    ),
}


@pytest.mark.parametrize("spelling", ANSIBLE)
def test_ansible_says_it_in_many_ways(spelling: str) -> None:
    found = signature_of(ANSIBLE[spelling], "ansible_run")
    assert (found.words, found.form) == ("No package matching kubelet is available", "ansible")
    assert found.key == signature_of(ANSIBLE["default"], "ansible_run").key


FORMS = [
    ('fatal: [a]: FAILED! => {"msg": "non-zero return code", "rc": 100, "stderr": "E: Unable to locate package jq"}',
     "ansible", "E: Unable to locate package jq"),
    ('fatal: [a]: FAILED! => {"msg": "MODULE FAILURE\\nSee stdout/stderr", "module_stderr": "Traceback (most recent call last):\\n  File \\"x\\", line 1\\nModuleNotFoundError: No module named \'apt\'\\n"}',
     "ansible", "ModuleNotFoundError: No module named apt"),
    ('fatal: [a]: UNREACHABLE! => {"msg": "Failed to connect to the host via ssh: ssh: connect to host 10.0.0.1 port 22: Connection refused"}',
     "ansible", "Failed to connect to the host via ssh: ssh: connect to host <ip> port <port>: Connection refused"),
    ("ERROR! couldn't resolve module/action 'community.general.ufw'.", "ansible", "couldn't resolve module/action community.general.ufw"),
    ("\t[ERROR Port-6443]: Port 6443 is in use", "kubeadm", "preflight Port: Port <port> is in use"),
    ("Refused before anything was run:\nvms/main.tf:3: provider `x` is not allowed here", "terraform", "provider x is not allowed here"),
    ('Traceback (most recent call last):\n  File "/a/b.py", line 7, in f\n    g()\nparamiko.ssh_exception.SSHException: Error reading SSH protocol banner\n',
     "python", "SSHException: Error reading SSH protocol banner"),
    ("proxmoxer.core.ResourceException: 403 Forbidden: Permission check failed (/vms/100, VM.Allocate)", "python",
     "ResourceException: 403 Forbidden: Permission check failed (<path>, VM.Allocate)"),
    ("debian@10.0.0.21: Permission denied (publickey).", "ssh", "Permission denied (publickey)"),
    ("starting\nTASK ERROR: VM is locked (clone)\n", "proxmox", "TASK ERROR: VM is locked (clone)"),
    ("received an HTTP 500 response - Reason: VM 120 already exists on node 'pve1'", "proxmox",
     "received an HTTP 500 response - Reason: VM <n> already exists on node <host>"),
    ('Error from server (NotFound): pods "hello-6d8f9c7b54-x2x9z" not found', "kubernetes", "Error from server (NotFound): pods hello-<id> not found"),
    ("Reading package lists...\nE: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (apt)", "apt",
     "E: Could not get lock <path> It is held by process <n> (apt)"),
    ("Job for kubelet.service failed because the control process exited with error code.", "systemd",
     "Job for kubelet.service failed because the control process exited with error code"),
    ("bash: line 12: nft: command not found", "plain", "nft: command not found"),
    ("10% done\r50% done\rcurl: (7) Failed to connect to pve1.lan port 8006 after 3 ms: Connection refused", "plain",
     "curl: (7) Failed to connect to <host> port <port> after <time>: Connection refused"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "form", "words"), FORMS, ids=[f"{form}-{n}" for n, (_, form, _) in enumerate(FORMS)])
def test_the_core_of_each_form(text: str, form: str, words: str) -> None:
    found = signature_of(text)
    assert (found.form, found.words) == (form, words)
    assert re.fullmatch(r"[0-9a-f]{16}", found.key)


def test_warnings_and_ignored_failures_are_no_errors() -> None:
    warned = json.dumps({"diagnostics": [{"severity": "warning", "summary": "Deprecated attribute"}]})
    assert signature_of(warned).form == ""
    ignored = 'fatal: [a]: FAILED! => {"msg": "gone"}\n...ignoring\nfatal: [a]: FAILED! => {"msg": "real trouble"}\n'
    assert signature_of(ignored).words == "real trouble"
    assert signature_of("cp1 : ok=3 changed=0 unreachable=0 failed=0\n0 errors").form == ""


def test_output_without_an_error_has_a_key_of_its_own_and_blank_output_none() -> None:
    assert {signature_of(blank) for blank in ("", " \n\t\n", "\x1b[0m\n╷\n")} == {NOTHING}
    plain = signature_of("Plan 3f2a: 3 to create\nmore")
    assert (plain.form, plain.knowledge) == ("", None)
    assert plain.key not in {"", signature_of("Another line").key}


def test_a_cycle_is_the_same_wherever_the_walk_began() -> None:
    assert signature_of("Error: Cycle: local.b, local.a").key == signature_of("Error: Cycle: local.a, local.b").key


def test_inits_own_heading_is_not_the_error() -> None:
    heading = (
        "Error: Terraform encountered problems during initialisation, including problems\nwith the configuration.\n\n"
    )
    cause = "Error: Invalid block definition\n\n  on main.tf line 2:\n   2: resource x\n\nA label is expected.\n"
    assert signature_of(heading + cause) == signature_of(cause)


def test_a_headline_is_the_error_only_where_nothing_follows() -> None:
    assert signature_of("terraform init failed (exit 1):\nno space left on device").words == "no space left on device"
    assert signature_of("terraform init failed (exit 1):").words == "terraform init failed (exit 1)"


def test_several_errors_are_one_identity_whatever_their_order_until_one_is_mended() -> None:
    one, two = "Error: Invalid character\n\nThis is no HCL.\n", "Error: Unclosed configuration block\n\nNo brace.\n"
    assert signature_of(one + two).key == signature_of(two + one).key
    assert len({signature_of(text).key for text in (one, two, one + two)}) == 3


def test_two_tools_of_one_family_that_fail_alike_have_one_key() -> None:
    assert signature_of(BOXED, "terraform_plan").key == signature_of(BOXED, "terraform_validate").key
    assert signature_of(BOXED, "terraform_plan").key == signature_of(BOXED).key, "the form says the family"
    assert signature_of(BOXED, "ssh_run").key != signature_of(BOXED, "terraform_plan").key
    assert [family_of(name) for name in ("run_terraform", "kubernetes_read", "Playbook", "look", "")] == [
        "terraform", "kubernetes", "ansible", "look", ""
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("HTTP 403 response", "HTTP 500 response"),
        ("401 Unauthorized", "403 Forbidden"),
        ("curl: (6) failed", "curl: (7) failed"),
        ("exit status 1: failed", "exit status 137: failed"),
        ("[Errno 111] failed", "[Errno 113] failed"),
        ("E: Unable to locate package jq", "E: Unable to locate package nftables"),
        ("Unit a.service not found.", "Unit b.service not found."),
        ("VM is locked (clone)", "VM is locked (backup)"),
        ("provider hashicorp/proxmox failed", "provider packagedata/proxmox failed"),
        ("ipv4 address is invalid", "ipv6 address is invalid"),
    ],
)
def test_what_makes_it_another_error_stays(text: str, other: str) -> None:
    assert signature_of(text).key != signature_of(other).key


ELSEWHERE = [
    ('Error: error creating VM "cp1": VM 101 failed', 'Error: error creating VM "cp2": VM 102 failed'),
    (
        'Error proxmox_virtual_environment_vm.cp["cp1"]: error creating VM: timeout after 30s',
        'Error proxmox_virtual_environment_vm.cp["worker-9"]: error creating VM: timeout after 40s',
    ),
    (
        "Error: cannot reach node pve1: dial tcp 10.0.0.1:8006: connect: connection refused",
        "Error: cannot reach node atlas: dial tcp 10.1.0.1:8006: connect: connection refused",
    ),
    (
        "ssh: connect to host alpha port 22: Connection refused",
        "ssh: connect to host beta.example.org port 2222: Connection refused",
    ),
    (
        'fatal: [alpha]: UNREACHABLE! => {"msg": "Failed to connect to the host via ssh: alpha: Permission denied"}',
        'fatal: [beta]: UNREACHABLE! => {"msg": "Failed to connect to the host via ssh: beta: Permission denied"}',
    ),
    (
        "Failed to connect to the host via ssh: root@alpha: Permission denied (publickey).",
        "Failed to connect to the host via ssh: deb@10.1.1.1: Permission denied (publickey).",
    ),
    (
        "error: timed out waiting for the condition on nodes/cp1",
        "error: timed out waiting for the condition on nodes/worker-2",
    ),
    (
        "E: Failed to fetch http://deb.debian.org/debian/dists/x/InRelease  Could not connect to deb.debian.org:80 (151.101.2.132), connection timed out",
        "E: Failed to fetch http://ftp.de.debian.org/debian/y  Could not connect to ftp.de.debian.org:80 (141.76.2.4), connection timed out",
    ),
    (
        "TASK ERROR: command '/usr/bin/qemu-img convert -p /tmp/a.img /dev/x' failed: exit code 1",
        "TASK ERROR: command '/usr/bin/qemu-img convert -p /tmp/bbb.img /dev/y' failed: exit code 1",
    ),
    ("no such VM ('100')", "no such VM ('20345')"),
    (
        "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist",
        "Configuration file 'nodes/pve22/qemu-server/2000.conf' does not exist",
    ),
    (
        "Nov 25 22:40:38 alpha systemd[1]: kubelet.service: Failed with result 'exit-code'.",
        "Dec  1 02:40:38 beta systemd[1]: kubelet.service: Failed with result 'exit-code'.",
    ),
    (
        "Unable to connect to the server: dial tcp 10.0.0.20:6443: i/o timeout",
        "Unable to connect to the server: dial tcp [fd00::20]:6443: i/o timeout",
    ),
    (
        "x509: certificate is valid for 10.96.0.1, 10.0.0.21, not 10.0.0.20",
        "x509: certificate is valid for 10.96.0.1, 10.0.9.21, 10.2.2.2, not 10.0.7.20",
    ),
    (
        "HTTPSConnectionPool(host='10.0.0.1', port=8006): Max retries exceeded with url: /api2/json/nodes (Caused by ConnectTimeoutError(<HTTPSConnection at 0x7f12>, 'Connection to 10.0.0.1 timed out. (connect timeout=5)'))",
        "HTTPSConnectionPool(host='pve9.lan', port=8006): Max retries exceeded with url: /api2/json/x (Caused by ConnectTimeoutError(<HTTPSConnection at 0x7fff2>, 'Connection to pve9.lan timed out. (connect timeout=15)'))",
    ),
    (
        '\x1b[0;31mfatal: [cp1]: FAILED! => {"changed": false, "msg": "Timeout when waiting for 10.0.0.20:6443", "elapsed": 300}\x1b[0m',
        'fatal: [cp2]: FAILED! => {"changed": false, "elapsed": 12, "msg": "Timeout when waiting for 10.0.0.99:6443"}',
    ),
    (
        "kvm: -drive file=/dev/pve/vm-100-disk-0: Could not open '/dev/pve/vm-100-disk-0': No such file or directory",
        "kvm: -drive file=/dev/pve/vm-2100-disk-1: Could not open '/dev/pve/vm-2100-disk-1': No such file or directory",
    ),
    ("error: unable to read 9f86d081884c7d65 from git", "error: unable to read 1111d081884c7d65aa from git"),
    ("Error: VM 100: lock-100.conf timeout", "Error: VM 99999: lock-99999.conf timeout"),
    ('failed to pull image "registry.k8s.io/pause:3.10"', 'failed to pull image "registry.k8s.io/pause:3.9"'),
    ("failed after 00:01:30", "failed after 00:11:59"),
    ("Error: x on /home/ana/my project/main.tf", "Error: x on /home/bo/my project/main.tf"),
    ("C:\\Users\\ana\\x.tf: error: bad", "C:\\Users\\bo\\y.tf: error: bad"),
    (
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
        "nginx: [emerg] bind() to 10.0.0.1:8080 failed (98: Address already in use)",
    ),
    ('Error: Get "https://pve1:8006/": EOF', 'Error: Get "https://10.0.0.1:8006/": EOF'),
    ("storage 'local-lvm' is not available on node 'pve1'", "storage 'local-lvm' is not available on node 'atlas'"),
    ("VM 100 qmp command 'guest-ping' failed - got timeout", "VM 9123 qmp command 'guest-ping' failed - got timeout"),
    (
        "unable to find configuration file for VM 9000 on node 'pve2'",
        "unable to find configuration file for VM 1 on node 'x'",
    ),
    ("etcdserver: request timed out, took 1.2s (7000 ms)", "etcdserver: request timed out, took 12.2s (9000 ms)"),
    (
        "connect to address 10.0.0.1 port 22: Connection refused",
        "connect to address 10.0.0.2 port 2222: Connection refused",
    ),
]


@pytest.mark.parametrize(("here", "there"), ELSEWHERE, ids=range(len(ELSEWHERE)))
def test_on_another_machine_at_another_time_it_is_the_same_error(here: str, there: str) -> None:
    assert signature_of(here).key == signature_of(there).key


def test_prefixes_of_journals_shells_and_levels_are_no_part_of_it() -> None:
    core = "running with swap on is not supported"
    for line in (
        f"Nov 25 22:40:38 cp1 kubelet[1234]: E1125 22:40:38.123456    1234 server.go:302] {core}",
        f"2026-11-25T22:40:38.1Z {core}",
        f"[22:40:38] ERROR: {core}",
        f"[  12.345678] {core}",
        f"  {core}.",
    ):
        assert normal(line) == core


def test_the_middle_of_a_long_output_is_looked_at_where_a_sign_stands() -> None:
    quiet = "nothing to see in this line\n" * 40_000
    assert "TASK ERROR: VM is locked" in excerpt(f"{quiet}\nTASK ERROR: VM is locked (clone)\n{quiet}")
    alone = signature_of("TASK ERROR: VM is locked (clone)")
    assert signature_of(f"{quiet}\nTASK ERROR: VM is locked (clone)\n{quiet}") == alone


@pytest.mark.parametrize(
    "unit", ["error ", "E: x\n", "fatal: [a]: FAILED! => ", '"severity":"error",', "a\r", "\x1b[", "(", "::1 "]
)
def test_a_hostile_output_is_looked_at_in_bounded_pieces(unit: str) -> None:
    text = unit * (3_000_000 // len(unit))
    assert len(excerpt(text)) <= HEAD + TAIL + len(SIGNS) * HITS * (AROUND * 5 // 4 + 1) + 1
    found = signature_of(text)
    assert len(found.words) <= 200
    assert "\n" not in found.words


def test_more_errors_than_count_and_longer_ones_than_are_kept() -> None:
    many = "".join(f"Error: trouble {chr(97 + n)}{chr(97 + n)}\n\nIt is so.\n" for n in range(20))
    first = "".join(f"Error: trouble {chr(97 + n)}{chr(97 + n)}\n\nIt is so.\n" for n in range(CORES))
    assert signature_of(many).key == signature_of(first).key
    assert len(normal("failed " * 500)) <= KEPT


@pytest.mark.skipif(not TRANSCRIPTS.is_dir(), reason="the recorded sessions are not beside this checkout")
@pytest.mark.parametrize(
    ("session", "places", "known"),
    [
        ("conversation_20260222_113701", (23, 35, 39, 43), "does not have a provider"),
        ("conversation_20260222_192007", (43, 52, 61, 70), "Unreadable module directory"),
        ("conversation_20260222_205544", (50, 61, 102), "authentication failure"),
        ("conversation_20260222_195653", (28, 31, 52, 61), "cannot access"),
    ],
)
def test_row_13_repeated_errors_of_the_recorded_crew_have_one_key_each(
    session: str, places: tuple[int, ...], known: str
) -> None:
    lines = [json.loads(line) for line in (TRANSCRIPTS / f"{session}.jsonl").read_text().splitlines()]
    found = [signature_of(str(line["content"])) for line in lines if line["i"] in places]
    assert len(found) == len(places)
    assert len({one.key for one in found}) == 1
    assert known in found[0].words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fatal: [a]: FAILED! => {}", "{}"),
        ('fatal: [a]: FAILED! => {"msg": "bad \\x escape", "rc": 1}', "bad \\x escape"),
        ("fatal: [a]: FAILED! => changed=false \n  msg: |-\n    the last line of all", "the last line of all"),
        ("fatal: [a]: FAILED! => changed=false \n  msg: >\n    folded\n    lines\nok: [b]\n", "folded"),
        ('fatal: [a]: FAILED! => {"msg": "first says:\\n\\nsecond explains"}', "first says: second explains"),
        ('fatal: [a]: FAILED! => {"msg": "non-zero return code", "stderr": "only words", "stdout": ""}', "only words"),
        ('fatal: [a]: FAILED! => {"msg": "  \\n ", "rc": 3}', "{msg: \\n , rc: 3}"),
    ],
)
def test_ansible_results_that_are_odd(text: str, words: str) -> None:
    assert signature_of(text).words == words


def test_newer_ansible_says_the_error_of_a_task_twice() -> None:
    once = 'fatal: [a]: FAILED! => {"msg": "Task failed: no room"}\n'
    assert signature_of(
        f"[ERROR]: Task failed: Module failed: non-zero return code\nOrigin: /x.yml:5:7\n{once}"
    ) == signature_of(once)
    assert signature_of(once).words == "no room"
    alone = "[WARNING]: the name does not match\n[ERROR]: YAML parsing failed: Colons must be followed by a space.\n"
    assert signature_of(alone).words == "YAML parsing failed: Colons must be followed by a space"
    assert signature_of("[WARNING]: the name does not match\n").form == ""


def test_a_result_of_ansible_without_anything_is_no_error_of_it() -> None:
    assert signature_of("fatal: [a]: FAILED! => \n").form != "ansible"


def test_signs_near_the_end_of_the_middle_are_read_once() -> None:
    quiet = "x" * HEAD
    text = f"{quiet}\n" + "y" * 5000 + "\nError: denied refused FAILED fatal: near the end\n" + "z" * TAIL
    assert excerpt(text).count("near the end") == 1


def test_what_terraform_says_of_its_planning_is_no_part_of_the_error() -> None:
    error = '╷\n│ Error: 401 authentication failure\n│ \n│   with provider["registry.terraform.io/bpg/proxmox"],\n╵\n'
    after = "Planning failed. Terraform encountered an error while generating this plan.\n"
    keys = {signature_of(text, "terraform_plan").key for text in (error, error + after, after + error)}
    assert len(keys) == 1
