"""The tools of the crew. `all_tools` is the one list: a new tool is one file, one line here, and a policy."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.domain.contract import Finding
from bot.domain.ports import Tool
from bot.domain.state import Mission
from bot.domain.storage import Locks
from bot.policy.secret_bindings import BoundSecrets
from tools.ansible import AnsibleCheck
from tools.ansible_bench import Kit
from tools.ansible_policy import load_playbook_policy
from tools.ansible_run import AnsibleRun
from tools.ansible_workshop import PlaybookWorkshop
from tools.commands import Classify, understands_nothing
from tools.dns_probe import DnsProbe
from tools.enrolment import enrolment, rosters
from tools.estate import Estates, GitError, estate_lock
from tools.fault_drill import DrillYard, FaultDrill
from tools.http_probe import HttpProbe
from tools.kubeconfig import Kubeconfigs
from tools.kubernetes import KubernetesRead
from tools.kubernetes_api import Clusters, load_client
from tools.kubernetes_apply import KubernetesApply
from tools.kubernetes_change import KubernetesChange
from tools.proxmox import ProxmoxRead
from tools.proxmox_api import Cluster, ProxmoxError
from tools.proxmox_guest import Guests
from tools.proxmox_power import Power
from tools.scan import Scan
from tools.site_vars import NO_SITE_FILE, SiteFile
from tools.ssh import Alert, Login, Ssh, tell_nobody
from tools.ssh_connection import Connections
from tools.targets import Targets
from tools.tcp_probe import TcpProbe
from tools.terraform import TerraformOutput, TerraformPlan, TerraformShow, TerraformStateList, TerraformValidate
from tools.terraform_apply import TerraformApply
from tools.terraform_cli import Credentials, Toolchain
from tools.terraform_plan import Seen
from tools.terraform_scan import load_allow_list
from tools.terraform_workshop import Workshop
from tools.workspace import Workspace, WorkspaceList, WorkspacePatch, WorkspaceRead, WorkspaceWrite

TOOL_NAMES = (
    *("plan", "hand_off", "ask_human", "record_verdict", "record_evidence", "read_artifact"),
    *("workspace_list", "workspace_read", "workspace_write", "workspace_patch"),
    *(
        "terraform_validate",
        "terraform_plan",
        "terraform_show",
        "terraform_apply",
        "terraform_output",
        "terraform_state",
    ),
    *("proxmox_read", "http_probe", "tcp_probe", "dns_probe", "scan", "ssh", "ansible_check", "ansible_run"),
    *("kubernetes_read", "kubernetes_apply", "kubernetes_change", "fault_drill"),
)


@dataclass(frozen=True, slots=True)
class HostAccess:
    """How hosts are known and reached. `file`: the operator's list; `key`: the private key that logs in; `agent_token`
    reads host keys of new machines; `ansible`: the environment that playbooks run in; `site`: the site's variables.
    """

    file: Path
    key: Path | None
    user: str
    agent_token: str
    ansible: Path
    site: SiteFile = NO_SITE_FILE


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the tools need from outside. `learn` tells the redactor each value that Terraform marks as sensitive;
    `blocks` is the threat model's word on a finding in an environment; `classify` is the shell classifier, without
    which people decide about every command; `alert` tells the operator at once.
    """

    data: Path
    blueprints: Path
    policies: Path
    terraform: Path
    mirror: Path | None
    scanner: Path
    proxmox_url: str
    proxmox_ca: Path | None
    audit_token: str
    write_token: str
    probe_targets: tuple[str, ...]
    locks: Locks
    learn: Callable[..., None]
    hosts: HostAccess
    blocks: Callable[[Finding, str], bool] | None = None
    classify: Classify = understands_nothing
    alert: Alert = tell_nobody
    secrets: BoundSecrets = field(default_factory=BoundSecrets)


def all_tools(equipment: Equipment, crew: Sequence[Tool]) -> tuple[Tool, ...]:
    """Every tool there is; `crew` are the crew's own (tools/crew.py)."""
    cluster = Cluster(equipment.proxmox_url, equipment.audit_token, equipment.proxmox_ca)
    roles = equipment.blueprints.parent / "ansible" / "roles"
    estates = Estates(equipment.data, equipment.blueprints, roles=roles, login=equipment.hosts.key)

    async def census() -> Sequence[Seen] | None:
        try:
            return [Seen(vmid, name, node) for vmid, name, node in await cluster.census()]
        except ProxmoxError:
            return None

    allow = load_allow_list(equipment.policies / "terraform.yaml")
    cache = None if equipment.mirror else equipment.data / "providers"
    toolchain = Toolchain(equipment.terraform, allow, equipment.mirror, cache)
    credentials = Credentials(equipment.proxmox_url, equipment.audit_token, equipment.write_token, equipment.proxmox_ca)
    hosts = equipment.hosts
    agent = Cluster(equipment.proxmox_url, hosts.agent_token, equipment.proxmox_ca, "WATCHBILL_PROXMOX_AGENT_TOKEN")
    roster_of = rosters(estates, hosts.file, Guests(cluster, agent, hosts.user).look)
    enrol = enrolment(roster_of)
    workshop = Workshop(estates, toolchain, credentials, equipment.locks, equipment.learn, census, enrol)
    connections = Connections(hosts.key)
    login = Login(estates, roster_of, connections, equipment.classify, equipment.alert)
    clusters = Clusters(Kubeconfigs(estates, roster_of, connections, equipment.learn))
    playbooks = PlaybookWorkshop(
        estates, Kit(hosts.ansible, hosts.key), load_playbook_policy(equipment.policies / "ansible.yaml"),
        equipment.classify, roster_of, equipment.locks, hosts.site,
    )  # fmt: skip
    workspace, targets = Workspace(estates), Targets(equipment.probe_targets)
    writer = Cluster(
        equipment.proxmox_url, equipment.write_token, equipment.proxmox_ca, "WATCHBILL_PROXMOX_WRITE_TOKEN"
    )
    yard = DrillYard(Power(cluster, writer), clusters, targets, estates, roster_of, equipment.locks)
    return (
        *crew,
        WorkspaceList(workspace),
        WorkspaceRead(workspace),
        WorkspaceWrite(workspace),
        WorkspacePatch(workspace),
        TerraformValidate(workshop),
        TerraformPlan(workshop),
        TerraformShow(workshop),
        TerraformApply(workshop),
        TerraformOutput(workshop),
        TerraformStateList(workshop),
        ProxmoxRead(cluster),
        HttpProbe(targets, equipment.secrets),
        TcpProbe(targets),
        DnsProbe(targets),
        Ssh(login),
        AnsibleCheck(playbooks),
        AnsibleRun(playbooks),
        KubernetesRead(clusters),
        KubernetesApply(clusters, estates, equipment.locks),
        KubernetesChange(clusters, estates, equipment.locks),
        FaultDrill(yard),
        Scan(workshop, equipment.scanner, equipment.policies / "scan", equipment.blocks),
    )


def warm_up(data: Path) -> None:
    """Where a cluster is known, load its client before somebody waits for it: a second of imports. Blocking."""
    if any(data.glob("estates/*/kubernetes/*.conf")):
        load_client()


def closing(data: Path, blueprints: Path, locks: Locks) -> Callable[[Mission], Awaitable[str]]:
    """What is done when a mission has ended, as often as it is asked: its branch joins main if it is done, and the
    estate's lock is given back. The text says what people have to do, or nothing.
    """
    estates = Estates(data, blueprints)

    async def close(state: Mission) -> str:
        problem = ""
        if state.ended in {"done", "partial"}:
            try:
                problem = await estates.named(state.estate).merge(state.id)
            except GitError as error:
                problem = str(error)
        await locks.unlock(estate_lock(state.estate), state.id)
        if not problem:
            return ""
        return f"Branch missions/{state.id} could not be merged into main of the estate's repository: {problem}"

    return close
