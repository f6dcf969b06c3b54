"""What error a tool's output holds, as an identity that counting and knowledge can use. Pure, no similarity of prose.

The same error with other ids, hosts, paths, times and order has the same key; another error has another. Several
errors of one output are one identity together: when one of them is mended, the key is another.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from bot.policy.error_cores import cleaned, errors_in
from bot.policy.error_words import normal

KEY = 16  # hex digits
WORDS = 200  # characters
FAMILIES = (  # the first that is in a tool's name; two tools of one family that fail alike have one key
    ("terraform", "terraform"), ("tofu", "terraform"), ("ansible", "ansible"), ("playbook", "ansible"),
    ("proxmox", "proxmox"), ("kube", "kubernetes"), ("helm", "kubernetes"), ("ssh", "ssh"), ("http", "http"),
    ("workspace", "workspace"), ("scan", "scan"),
)  # fmt: skip


class Knows(Protocol):
    """The knowledge that fits one error's normal form, by name."""

    def fitting(self, core: str, family: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Signature:
    """`key`: 16 hex digits, empty for blank output only. `words`: the first error in its normal form, one line, at most
    200 characters, not redacted. `knowledge`: the name of the file that fits. `form`: how the error was written
    (terraform, ansible, …, plain), empty where no error was recognised: the key then stands for the last line, and
    only a caller who knows that the call failed may count it.
    """

    key: str
    words: str
    knowledge: str | None = None
    form: str = ""


NOTHING = Signature("", "")


def signature_of(text: str, tool: str = "", known: Knows | None = None) -> Signature:
    """The identity of the errors in `text`, which `tool` printed. Linear: 5 MB in about 100 ms."""
    found = errors_in(text)
    cores = [core for core in map(normal, found.cores) if core]
    if not cores:
        last = normal(_last_line(text))
        if not last:
            return NOTHING
        cores = [last]
    family = family_of(tool) or found.form
    fits = (known.fitting(core, family) for core in cores) if known is not None else ()
    knowledge = next((name for name in fits if name), None)
    return Signature(_key(family, cores), cores[0][:WORDS], knowledge, found.form)


def family_of(tool: str) -> str:
    """What kind of tool it is: terraform_plan and terraform_apply are one family. Empty for no tool."""
    name = tool.casefold()
    return next((family for part, family in FAMILIES if part in name), name)


def _key(family: str, cores: list[str]) -> str:
    # A machine is the same by its name and by its address.
    whole = "\n".join((family, *sorted({core.casefold().replace("<ip>", "<host>") for core in cores})))
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:KEY]


def _last_line(text: str) -> str:
    return next((line for line in reversed(cleaned(text[-4000:]).splitlines()) if line.strip()), "")
