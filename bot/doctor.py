"""`python -m bot check`: what is missing before the first mission, each with its mend. Looks, changes nothing."""

import json
import shutil
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bot import app, looks
from bot.settings import Settings

State = Literal["ok", "warn", "fail"]
MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at. `mend` is empty where all is well."""

    what: str
    state: State
    text: str
    mend: str = ""


def good(what: str, text: str) -> Row:
    return Row(what, "ok", text)


def doubtful(what: str, text: str, mend: str) -> Row:
    return Row(what, "warn", text, mend)


def broken(what: str, text: str, mend: str) -> Row:
    return Row(what, "fail", text, mend)


def render(rows: Sequence[Row], *, as_json: bool) -> str:
    """The rows as a table for people, or as JSON."""
    if as_json:
        return json.dumps([asdict(row) for row in rows], indent=1)
    lines: list[str] = []
    for row in rows:
        lines.append(f"{MARKS[row.state]}  {row.what}: {row.text}")
        lines += [f"      → {row.mend}"] if row.mend else []
    failed = sum(row.state == "fail" for row in rows)
    return "\n".join(
        [*lines, "", f"{len(rows)} looked at, {failed} to mend" if failed else f"{len(rows)} looked at: ready"]
    )


async def examine(settings: Settings) -> list[Row]:
    """Every row, the failed ones too: one broken thing does not hide another."""
    rows = [*_programs(settings), *_rules(settings)]
    rows.append(await _look("store", looks.look_at_store(settings), "WATCHBILL_REDIS_URL or WATCHBILL_DATA"))
    rows.append(
        await _look("slack", looks.look_at_slack(settings), "`python -m bot manifest`, then the tokens in .env")
    )
    rows.append(await _look("proxmox", looks.look_at_proxmox(settings), "WATCHBILL_PROXMOX_*"))
    rows += [_write_token(settings), _audit_heads(settings)]
    models = {settings.model} if settings.model else _models(settings)
    rows.append(await _look("models", looks.look_at_models(settings, models), "keys and base URLs in .env"))
    return rows


async def _look(what: str, look: Awaitable[str], where: str) -> Row:
    try:
        return good(what, await look)
    except app.CannotStartError as error:
        return broken(what, str(error), f"See {where}")


def _programs(settings: Settings) -> list[Row]:
    terraform, scanner = app.terraform_of(settings), app.scanner_of(settings)
    return [
        _program("terraform", terraform, "Install Terraform ≥ 1.9 or OpenTofu, or set WATCHBILL_TERRAFORM"),
        _program("git", Path("git"), "Install git"),
        _program("scanner", scanner, "Run `make setup`, or set WATCHBILL_SCANNER; no plan can be reviewed without it"),
        _program(
            "ansible", settings.ansible / "bin" / "ansible-playbook", "Run `make setup`, or set WATCHBILL_ANSIBLE"
        ),
        _program("ssh", Path("/usr/bin/ssh"), "Install openssh-client; playbooks reach hosts with it"),
        _login_key(settings.ssh_key),
        _site_variables(settings),
        *_rights(settings),
    ]


def _login_key(key: Path | None) -> Row:
    mend = "Make one (`ssh-keygen -t ed25519 -N ''`), set WATCHBILL_SSH_KEY, give its public half to cloud-init"
    if key is None:
        return doubtful("ssh key", "is not set: no host can be reached", mend)
    if not key.is_file():
        return broken("ssh key", f"{key} is not there", mend)
    if key.stat().st_mode & 0o077:
        return broken("ssh key", f"{key} can be read by others", f"chmod 600 {key}")
    return good("ssh key", str(key))


def _site_variables(settings: Settings) -> Row:
    try:
        count = looks.count_site_variables(settings)
    except app.CannotStartError as error:
        return broken("site variables", str(error), "Correct the file that it names, or WATCHBILL_SITE_VARS")
    return good("site variables", f"{count} for every playbook" if count else "none: playbooks use the roles' defaults")


def _program(what: str, path: Path, mend: str) -> Row:
    found = shutil.which(str(path))
    return good(what, found) if found else broken(what, f"{path} is not there", mend)


def _rights(settings: Settings) -> list[Row]:
    mend = "Run as root in a container of its own, or on Linux ≥ 6.7 with Landlock"
    return [
        doubtful("rights", words, mend)
        if words.partition(": ")[2].startswith(("no,", "no ", "not "))
        else good("rights", words)
        for words in looks.look_at_rights(settings)
    ]


def _rules(settings: Settings) -> list[Row]:
    try:
        rules = app.read_rules(settings)
        crew = looks.look_at_crew(settings)
    except app.CannotStartError as error:
        return [broken("policies", str(error), "Correct the file that it names")]
    approvers = len(rules.policies.people.with_role("approver"))
    rows = [good("policies", f"version {rules.policies.version[:8]}, {approvers} approvers, {len(crew)} personas")]
    return rows + [doubtful("people", text, "See policies/people.yaml") for text in rules.policies.warnings]


def _models(settings: Settings) -> set[str]:
    try:
        return {persona.model for persona in looks.look_at_crew(settings).values()}
    except app.CannotStartError:
        return set()  # its own row says why


def _audit_heads(settings: Settings) -> Row:
    where = f"daily to {settings.audit_channel or 'the channels of the missions'} and in every report"
    try:
        signed = app.signer_of(settings) is not None
    except app.CannotStartError as error:
        return broken("audit heads", str(error), "See WATCHBILL_AUDIT_KEY")
    return good("audit heads", f"{where}, {'signed' if signed else 'not signed (WATCHBILL_AUDIT_KEY is not set)'}")


def _write_token(settings: Settings) -> Row:
    audit, write = settings.proxmox_audit_token.get_secret_value(), settings.proxmox_write_token.get_secret_value()
    if not write:
        return broken("write token", "is not set: nothing can be applied", "WATCHBILL_PROXMOX_WRITE_TOKEN")
    if audit == write:
        mend = "Make a second token with the role PVEAuditor for WATCHBILL_PROXMOX_AUDIT_TOKEN"
        return doubtful("write token", "is the audit token as well: plans could write", mend)
    return good("write token", "is a token of its own")
