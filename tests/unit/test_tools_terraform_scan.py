"""Rule 16: what agent-written Terraform is refused before anything runs, and what the refusal says to do."""

import hashlib
from pathlib import Path

import pytest

from tools.terraform_scan import Scan, Sources, load_allow_list, scan

ALLOW = load_allow_list(Path(__file__).parents[2] / "policies/terraform.yaml")
HEAD = 'terraform {\n  required_providers {\n    proxmox = {\n      source = "bpg/proxmox"\n    }\n  }\n}\n'
VM = 'resource "proxmox_virtual_environment_vm" "a" {\n  name = "a"\n}\n'
BLUEPRINT = b'resource "proxmox_virtual_environment_vm" "this" {}\n'
VETTED = {"blueprints/proxmox-vms/main.tf": hashlib.sha256(BLUEPRINT).hexdigest()}


def look(main: str = HEAD, directory: str = "", **files: str) -> Scan:
    prefix = f"{directory}/" if directory else ""
    contents = {f"{prefix}main.tf": main.encode(), "blueprints/proxmox-vms/main.tf": BLUEPRINT}
    contents |= {name.replace("__", "/").replace("_DOT_", "."): text.encode() for name, text in files.items()}
    return scan(Sources(contents, directory, ALLOW, VETTED))


def wrong(main: str, **files: str) -> str:
    return "\n".join(look(main, **files).level("wrong"))


def test_plain_code_passes() -> None:
    main = HEAD + 'provider "proxmox" {}\nvariable "n" {\n  type = string\n}\nlocals {\n  x = upper(var.n)\n}\n' + VM
    main += 'module "vms" {\n  source = "./blueprints/proxmox-vms"\n}\noutput "o" {\n  value = local.x\n}\n'
    assert look(main).found == ()


def test_a_module_is_found_from_a_folder_below() -> None:
    assert look('module "m" {\n  source = "../blueprints/proxmox-vms"\n}\n', directory="cluster").found == ()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hashicorp/proxmox", "the right one is bpg/proxmox"),
        ("Telmate/proxmox", "the right one is bpg/proxmox"),
        ("packagedata/proxmox", "the right one is bpg/proxmox"),
        ("local.binary/proxmox", "the right one is bpg/proxmox"),
        ("registry.terraform.io/hashicorp/proxmox", "the right one is bpg/proxmox"),
        ("evil.example/bpg/proxmox", "the right one is bpg/proxmox"),
        ("hashicorp/aws", "is not allowed here; allowed: bpg/proxmox"),
    ],
)
def test_rule_16_a_phantom_provider_is_told_its_right_name(source: str, said: str) -> None:
    local = source.rpartition("/")[2]
    text = wrong(
        f'terraform {{\n  required_providers {{\n    {local} = {{\n      source = "{source}"\n    }}\n  }}\n}}\n'
    )
    assert text.startswith("main.tf:3: ")
    assert said in text


@pytest.mark.parametrize(
    "more",
    [
        '"sour\\u0063e" = "evil/ext"',
        '("source") = "evil/ext"',
        '"source" = "evil/ext"',
        '(local.x) = "evil/ext"',
        '"${"source"}" = "evil/ext"',
        'source = "evil/ext"',
    ],
)
def test_rule_16_a_providers_source_is_said_once_with_a_plain_key(more: str) -> None:
    right = '      source = "bpg/proxmox"\n'
    for body in (f"{right}      {more}\n", f"      {more}\n{right}"):
        text = wrong(HEAD.replace(right, body))
        assert text.startswith("main.tf:"), text
        assert 'the right one is bpg/proxmox: terraform { required_providers { proxmox = { source = "bpg/proxmox" } } }' in text  # fmt: skip


@pytest.mark.parametrize("value", ["local.p", 'merge({ source = "bpg/proxmox" }, { source = "evil/ext" })', '"~> 0.1"'])
def test_rule_16_a_provider_is_an_object_that_can_be_read(value: str) -> None:
    assert "the right one is bpg/proxmox" in wrong(
        f"terraform {{\n  required_providers {{\n    proxmox = {value}\n  }}\n}}\n"
    )


def test_rule_16_a_provider_nobody_declared_would_be_fetched_from_hashicorp() -> None:
    assert "the right one is bpg/proxmox" in wrong(VM)
    assert "provider `aws` is not allowed" in wrong('provider "aws" {}\n')


def test_rule_16_the_same_provider_under_another_name_is_refused() -> None:
    assert "must be named `proxmox`" in wrong(HEAD.replace("proxmox =", "pve ="))


@pytest.mark.parametrize("word", ["endpoint", "api_token", "username", "password", "insecure"])
def test_rule_24_a_provider_block_holds_no_address_and_no_credentials(word: str) -> None:
    text = wrong(HEAD + f'provider "proxmox" {{\n  {word} = "x"\n}}\n')
    assert f"`{word}`: address and credentials come from the gate" in text


@pytest.mark.parametrize(
    ("main", "line", "said"),
    [
        ('terraform {\n  backend "s3" {}\n}\n', 2, "the gate sets where the state is kept"),
        ("terraform {\n  cloud {}\n}\n", 2, "the gate sets where the state is kept"),
        ('data "external" "x" {\n  program = ["id"]\n}\n', 1, "runs a program while planning"),
        ('data "http" "x" {\n  url = "http://x"\n}\n', 1, "fetches from the network"),
        ('check "c" {\n  data "external" "x" {\n    program = ["id"]\n  }\n}\n', 2, "runs a program while planning"),
        ('resource "null_resource" "x" {}\n', 1, "exists to run provisioners"),
        (
            'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}\n',
            2,
            "run commands",
        ),
        ('resource "terraform_data" "x" {\n  connection {\n    host = "x"\n  }\n}\n', 2, "run commands"),
        ('module "m" {\n  source = "terraform-aws-modules/vpc/aws"\n}\n', 2, "modules come from blueprints only"),
        ('module "m" {\n  source = "git::https://x/y.git"\n}\n', 2, "modules come from blueprints only"),
        ('module "m" {\n  source = "./blueprints/other"\n}\n', 2, "./blueprints/proxmox-vms"),
        ('module "m" {\n  source = "./blueprints/../blueprints/proxmox-vms/../../x"\n}\n', 2, "blueprints only"),
        ('module "m" {\n  source = "${var.x}"\n}\n', 2, "a plain text"),
        ('module "m" {\n  source = "\\u002e/blueprints/proxmox-vms"\n}\n', 2, "a plain text"),
    ],
)
def test_rule_16_blocks_that_run_or_fetch_are_refused(main: str, line: int, said: str) -> None:
    text = wrong(main)
    assert text.startswith(f"main.tf:{line}: ")
    assert said in text


@pytest.mark.parametrize(
    "expression",
    [
        'file("/etc/shadow")',
        'file("../../etc/shadow")',
        'file("${path.module}/../../x")',
        'filebase64("~/.ssh/id_rsa")',
        "file(var.path)",
        'file("\\u002fetc/shadow")',
        'fileset("/etc", "*")',
        'fileset(".", "../*")',
        'templatefile("/etc/shadow", {})',
        "templatestring(var.t, {})",
        'upper(filemd5("/etc/shadow"))',
        '"a ${file("/etc/shadow")} b"',
        '{ a = [for x in ["/etc/shadow"] : file(x)] }',
        'file(\n"/etc/shadow")',
    ],
)
def test_rule_16_functions_read_files_only_inside_the_workspace(expression: str) -> None:
    assert wrong(f"locals {{\n  x = {expression}\n}}\n").startswith("main.tf:2: `")


HIDDEN = [
    'locals {\n  x = <<EOT\n${file("/etc/shadow")}\nEOT\n}\n',
    'locals {\n  x = <<-EOT\n  %{ if true }${file("/etc/shadow")}%{ endif }\n  EOT\n}\n',
    'locals {\n  x = "$$${file("/etc/shadow")}"\n}\n',
    'locals {\n  x = "%%%{ if file("/etc/shadow") == "" }%{ endif }"\n}\n',
    'locals {\n  x = <<EOT\nfoo\nEOT \n}\ndata "external" "x" {\n  program = ["id"]\n}\nlocals {\n  y = <<EOT\nEOT\n}\n',
    'locals {\n  x = file /* c */ ("/etc/shadow")\n}\n',
    'locals {\n  x = (file # c\n("/etc/shadow"))\n}\n',
    'locals {\n  x = core::file("/etc/shadow")\n}\n',
    '/* \n*/ data "external" "x" { program = ["id"] }\n',
    'locals {\n  x = "a\rdata"\n}\n',
]


@pytest.mark.parametrize("main", HIDDEN)
def test_rule_16_what_one_parser_overlooks_is_not_overlooked(main: str) -> None:
    result = look(main)
    assert result.level("wrong"), result.found


def test_a_file_of_the_workspace_may_be_read() -> None:
    main = 'locals {\n  x = file("${path.module}/key.pub")\n  y = file("./key.pub")\n  z = fileexists("nope")\n}\n'
    assert look(main, key_DOT_pub="ssh-ed25519 AAAA").found == ()
    assert "there is no file nope" in wrong('locals {\n  x = file("nope")\n}\n')


def test_rule_16_a_template_names_no_function_that_reads() -> None:
    main = 'locals {\n  x = templatefile("a.tpl", {})\n}\n'
    assert look(main, a_DOT_tpl="hello ${name}").found == ()
    assert "may not name functions" in wrong(main, a_DOT_tpl='${file("/etc/shadow")}')


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.tf.json", "JSON syntax is not read"),
        ("override.tf", "override files"),
        ("x_override.tf", "override files"),
        ("x.tofu", "hide code"),
        ("terragrunt.hcl", "Terragrunt is not used"),
        ("x.auto.tfvars.json", "*.auto.tfvars"),
        ("terraform.tfstate", "kept by the estate"),
        ("terraform.tfstate.backup", "kept by the estate"),
        ("a.tftest.hcl", "only .tf and .tfvars"),
        (".terraformrc", "the gate's"),
        ("watchbill_backend.tf", "the gate's"),
    ],
)
def test_rule_16_files_that_are_refused_by_name(name: str, said: str) -> None:
    result = scan(Sources({"main.tf": HEAD.encode(), name: b""}, "", ALLOW, {}))
    assert [f.level for f in result.found] == ["wrong"]
    assert said in str(result.found[0])


def test_values_in_a_tf_file_are_explained_as_tfvars() -> None:
    text = wrong(HEAD, proxmox_vars_DOT_tf='node = "pve1"\ntoken = "x"\n')
    assert "proxmox_vars.tf:1: `node = …` assigns a variable" in text
    assert "proxmox_vars.auto.tfvars" in text


def test_values_that_terraform_would_not_read_are_told_to_be_renamed() -> None:
    assert "rename it to home.auto.tfvars" in wrong(HEAD, home_DOT_tfvars='node = "pve1"\n')
    assert look(HEAD, home_DOT_auto_DOT_tfvars='node = "pve1"\n').found == ()


def test_a_parse_error_names_file_and_line() -> None:
    assert wrong('resource "a" {\n  x = = 1\n}\n').startswith("main.tf:2: no HCL that can be read, near `x = = 1`")


def test_rule_16_a_changed_blueprint_is_refused() -> None:
    files = {
        "main.tf": b'module "m" {\n  source = "./blueprints/proxmox-vms"\n}\n',
        "blueprints/proxmox-vms/main.tf": b"#\n",
    }
    text = "\n".join(scan(Sources(files, "", ALLOW, VETTED)).level("wrong"))
    assert "blueprints/proxmox-vms/main.tf: differs from the vetted blueprint" in text
    files["blueprints/proxmox-vms/main.tf"] = BLUEPRINT
    files["blueprints/proxmox-vms/extra.tf"] = b'data "external" "x" {}\n'
    assert "extra.tf: differs" in "\n".join(scan(Sources(files, "", ALLOW, VETTED)).level("wrong"))


def test_rule_16_what_a_blueprint_builds_on_is_looked_at_as_well_and_only_modules_are_offered() -> None:
    cluster = b'module "vms" {\n  source = "../proxmox-vms"\n}\n'
    others = {
        "blueprints/login.pub": b"k",
        "blueprints/cluster.yml": b"y",
        "blueprints/roles/base/tasks/main.yml": b"t",
    }
    files = {
        "main.tf": b'module "m" {\n  source = "./blueprints/proxmox-cluster"\n}\n',
        "blueprints/proxmox-cluster/main.tf": cluster,
        "blueprints/proxmox-vms/main.tf": BLUEPRINT,
    } | others
    vetted = {path: hashlib.sha256(content).hexdigest() for path, content in files.items() if path != "main.tf"}
    assert scan(Sources(files, "", ALLOW, vetted)).found == ()
    files["main.tf"] = b'module "m" {\n  source = "./blueprints/roles"\n}\n'
    offered = "\n".join(scan(Sources(files, "", ALLOW, vetted)).level("wrong"))
    assert "modules come from blueprints only: ./blueprints/proxmox-cluster, ./blueprints/proxmox-vms" in offered
    assert "login.pub" not in offered
    files["main.tf"] = b'module "m" {\n  source = "./blueprints/proxmox-cluster"\n}\n'
    files["blueprints/proxmox-vms/main.tf"] = b"# emptied\n"
    text = "\n".join(scan(Sources(files, "", ALLOW, vetted)).level("wrong"))
    assert "blueprints/proxmox-vms/main.tf: differs from the vetted blueprint" in text


@pytest.mark.parametrize(
    "main",
    [
        HEAD + 'resource "proxmox_virtual_environment_file" "f" {}\n',
        HEAD + 'data "proxmox_virtual_environment_users" "u" {}\n',
        HEAD + VM.replace('name = "a"', 'kvm_arguments = "-x"'),
        HEAD + VM.replace('name = "a"', 'hook_script_file_id = "local:snippets/x"'),
        HEAD + VM.replace('name = "a"', "hostpci {\n    device = 1\n  }"),
        HEAD + VM.replace('name = "a"', 'dynamic "hostpci" {\n    for_each = []\n    content {}\n  }'),
        'action "x" "y" {}\n',
        "locals {\n  x = provider::proxmox::f(1)\n}\n",
    ],
)
def test_rule_16_what_is_not_listed_asks_as_unknown(main: str) -> None:
    result = look(main)
    assert result.level("unknown")
    assert not result.level("wrong")


BODIES = {
    "disk.path_in_datastore": 'disk {\n    interface = "scsi0"\n    path_in_datastore = "/dev/sda"\n  }',
    "disk.file_id": 'disk {\n    interface = "scsi0"\n    file_id = "ceph:vm-100-disk-0"\n  }',
    "disk.import_from": 'dynamic "disk" {\n    for_each = [1]\n    content {\n      import_from = "x"\n    }\n  }',
    "serial_device.device": 'serial_device {\n    device = "/dev/ttyS0"\n  }',
    "cdrom.file_id": 'cdrom {\n    file_id = "cdrom"\n  }',
    "rng.source": 'rng {\n    source = "/etc/shadow"\n  }',
    "usb": "usb {}",
    "virtiofs": 'dynamic "virtiofs" {\n    for_each = []\n    content {}\n  }',
    "cpu.affinity": 'cpu {\n    affinity = "0"\n  }',
    "memory.hugepages": 'memory {\n    hugepages = "any"\n  }',
    "numa": 'numa {\n    hostnodes = "0"\n  }',
    "initialization.user_data_file_id": 'initialization {\n    user_data_file_id = "local:snippets/x"\n  }',
    "lifecycle.other": "lifecycle {\n    other {}\n  }",
    "made_up_tomorrow": "made_up_tomorrow = 1",
}


@pytest.mark.parametrize(("name", "body"), BODIES.items())
def test_rule_16_what_a_machine_may_say_is_listed_and_everything_else_asks(name: str, body: str) -> None:
    result = look(HEAD + VM.replace('name = "a"', body))
    assert not result.level("wrong")
    head = name.partition(".")[0] if name.startswith(("cdrom", "rng")) else name  # the block itself is not listed
    assert any(f"`{head}`" in asked for asked in result.level("unknown"))


def test_rule_16_the_blueprint_itself_would_pass_and_a_socket_is_no_device() -> None:
    text = (Path(__file__).parents[2] / "deploy/blueprints/terraform/proxmox-vms/main.tf").read_text()
    socket = VM.replace('name = "a"', 'serial_device {}\n  dynamic "disk" {\n    for_each = [1]\n    content {\n      size = 8\n    }\n  }')  # fmt: skip
    result = look(HEAD + text + socket)
    assert result.found == ()


def test_rule_15_what_reaches_the_host_is_asked_first() -> None:
    many = "".join(f"  harmless_{number} = 1\n" for number in range(12))
    asks = look(HEAD + VM.replace('  name = "a"\n', many + '  kvm_arguments = "-x"\n')).level("unknown")
    assert (len(asks), "`kvm_arguments`: gives the emulator" in asks[0]) == (13, True)


def test_moved_removed_and_import_blocks_are_left_to_the_plan() -> None:
    main = (
        HEAD + VM + "moved {\n  from = proxmox_virtual_environment_vm.b\n  to   = proxmox_virtual_environment_vm.a\n}\n"
    )
    main += 'import {\n  to = proxmox_virtual_environment_vm.a\n  id = "pve1/121"\n}\n'
    main += "removed {\n  from = proxmox_virtual_environment_vm.c\n  lifecycle {\n    destroy = false\n  }\n}\n"
    assert look(main).found == ()


def test_an_empty_folder_says_so() -> None:
    assert "there is no .tf file" in str(scan(Sources({}, "", ALLOW, {})).found[0])


def test_deep_nesting_and_size_are_bounded() -> None:
    assert "nested more than 60 deep" in wrong("locals {\n  x = " + "[" * 100 + "]" * 100 + "\n}\n")
    assert "at most 256000" in wrong("#" * 300_000)
