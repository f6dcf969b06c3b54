"""What cloud-init does at the start of a machine, as one shell script that runs in the machine's own root folder."""

import hashlib
import shlex

from deploy.lab.hosts.plan import Card, Plan

SEEN = "/var/lib/cloud/data/instance-id"


def render_script(plan: Plan) -> str:
    """Everything but the identity is written at every start, as it is when Proxmox makes the cloud-init drive again."""
    return "\n".join(["umask 022", *_render_identity(plan), *_render_network(plan), *_render_user(plan), ""])


def _write(path: str, text: str, mode: str = "644") -> list[str]:
    return [f"printf '%s' {shlex.quote(text)} > {path}", f"chmod {mode} {path}"]


def _render_identity(plan: Plan) -> list[str]:
    """A new machine, or the clone of one: its own host keys and machine id."""
    identity = shlex.quote(plan.identity)
    return [
        f'if [ "$(cat {SEEN} 2> /dev/null || true)" != {identity} ]; then',
        "rm -f /etc/ssh/ssh_host_*",
        *[f"ssh-keygen -q -t {kind} -N '' -C root@{shlex.quote(plan.name)} -f /etc/ssh/ssh_host_{kind}_key" for kind in ("ed25519", "ecdsa")],
        *_write("/etc/machine-id", f"{hashlib.sha256(plan.identity.encode()).hexdigest()[:32]}\n", "444"),
        f"mkdir -p {SEEN.rpartition('/')[0]}",
        f"printf '%s' {identity} > {SEEN}",
        "fi",
    ]  # fmt: skip


def _render_network(plan: Plan) -> list[str]:
    short = plan.name.partition(".")[0]
    own = f"127.0.1.1 {plan.name}{f' {short}' if short != plan.name else ''}\n"
    hosts = f"127.0.0.1 localhost\n{own}::1 localhost ip6-localhost ip6-loopback\n"
    resolver = "".join(f"nameserver {server}\n" for server in plan.nameservers)
    resolver += f"search {plan.search}\n" if plan.search else ""
    lines = [*_write("/etc/hostname", f"{short}\n"), *_write("/etc/hosts", hosts), "rm -f /etc/resolv.conf"]
    lines += [
        *_write("/etc/resolv.conf", resolver),
        "mkdir -p /etc/systemd/network",
        "rm -f /etc/systemd/network/10-cloud-init-*",
    ]
    for card in plan.cards:
        lines += _write(f"/etc/systemd/network/10-cloud-init-{card.name}.network", _render_card(card))
    return lines


def _render_card(card: Card) -> str:
    text = f"[Match]\nMACAddress={card.mac}\n\n[Network]\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=no\n"
    text += f"Address={card.address}\n" if card.address else ""
    return text + (f"Gateway={card.gateway}\n" if card.gateway else "")


def _render_user(plan: Plan) -> list[str]:
    user = shlex.quote(plan.user)
    lines = []
    if plan.user != "root":
        lines = [
            f"id -u {user} > /dev/null 2>&1 || useradd --create-home --shell /bin/bash --groups sudo {user}",
            *_write("/etc/sudoers.d/90-cloud-init-users", f"{plan.user} ALL=(ALL) NOPASSWD:ALL\n", "440"),
        ]
    lines += [
        f"home=$(getent passwd {user} | cut -d: -f6)",
        'mkdir -p -m 700 "$home/.ssh"',
        *_write('"$home/.ssh/authorized_keys"', "".join(f"{key}\n" for key in plan.keys), "600"),
        f'chown -R {user}: "$home/.ssh"',
    ]
    if plan.password:
        encrypted = " --encrypted" if plan.password.startswith("$") else ""
        lines.append(f"printf '%s\\n' {shlex.quote(f'{plan.user}:{plan.password}')} | chpasswd{encrypted}")
    return lines
