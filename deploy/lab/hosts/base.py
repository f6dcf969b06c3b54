"""The one Debian that all machines share: made once by debootstrap, changed a little, never written again."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from deploy.lab.bundle.cache import Cache, Say
from deploy.lab.hosts.namespaces import HostError

HERE = Path(__file__).parent
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
STEP_S = 10.0
ENABLED = ("lab-boot", "lab-guest-agent", "ssh", "systemd-networkd")
DISABLED = ("containerd", "keepalived", "nftables", "e2scrub_reap", "apt-daily.timer", "apt-daily-upgrade.timer",
            "dpkg-db-backup.timer", "fstrim.timer", "e2scrub_all.timer", "unattended-upgrades", "getty@tty1")  # fmt: skip
MASKED = ("systemd-udevd", "systemd-udev-trigger", "console-getty", "systemd-networkd-wait-online")
# The first start of a machine makes its own keys and id; lists would be out of date and cost every apt run.
EMPTIED = ("var/lib/apt/lists", "var/cache/apt", "var/log", "etc/ssh", "tmp")
STAGE = re.compile(r"^I: (Retrieving|Extracting|Unpacking|Configuring) (\S+)")


def obtain_base(cache: Path, say: Say) -> Path:
    """The finished root folder in the cache; HostError if it cannot be made. Several processes may ask at once."""
    place = Cache(cache.resolve() / "hosts")
    with place.locked(say):
        base = place.folder / f"base-{_name_contents()}"
        if base.is_dir():
            say(f"hosts      Debian 12 from the cache ({base.name})")
            return base
        for stale in place.folder.glob("*.partial"):
            shutil.rmtree(stale)
        partial = base.with_suffix(".partial")
        started = time.monotonic()
        say("hosts      Debian 12: debootstrap into the cache, once, about 650 MB and 2 minutes")
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, partial, ignore_errors=True)
            _bootstrap(partial, say)
            _finish(partial)
            undo.pop_all()
        partial.rename(base)
        say(f"hosts      Debian 12 made in {time.monotonic() - started:.0f} s")
        return base


def list_packages() -> list[str]:
    lines = (HERE / "packages.txt").read_text().splitlines()
    return [name for line in lines if not line.startswith("#") for name in line.split()]


def _name_contents() -> str:
    """A name that changes with whatever the base is made from."""
    digest = hashlib.sha256(f"{SUITE} {list_packages()} {ENABLED} {DISABLED} {MASKED} {EMPTIED}".encode())
    for path in _walk_files():
        digest.update(f"{path.relative_to(HERE)} {path.stat().st_mode & 0o111} ".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _walk_files() -> Iterator[Path]:
    return (path for path in sorted((HERE / "root").rglob("*")) if path.is_file())


def _bootstrap(folder: Path, say: Say) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(list_packages())}", SUITE, str(folder), MIRROR]
    # Dies with this process, and namespaces of its own: what debootstrap mounts and starts goes with it, also when it is killed.
    apart = [
        "setpriv",
        "--pdeathsig=KILL",
        "unshare",
        "--mount",
        "--propagation=private",
        "--pid",
        "--fork",
        "--kill-child=KILL",
        "--mount-proc",
    ]
    folder.mkdir(parents=True)
    with subprocess.Popen([*apart, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        last = _tell(process.stdout, say)
        if process.wait() != 0:
            raise HostError(f"debootstrap failed; its last words:\n{last}\nIs {MIRROR} reachable from here?")


def _tell(lines: Iterator[str], say: Say) -> str:
    """One line now and then, not the thousand that debootstrap has; returns the last ones."""
    kept: list[str] = []
    counts: dict[str, int] = {}
    told = time.monotonic()
    for line in lines:
        kept = [*kept[-11:], line.rstrip()]
        match = STAGE.match(line)
        if not match:
            continue
        counts[match[1]] = counts.get(match[1], 0) + 1
        if time.monotonic() - told >= STEP_S:
            told = time.monotonic()
            say(f"hosts      Debian 12: {match[1].lower()} package {counts[match[1]]}, {match[2].rstrip('.')}")
    return "\n".join(kept)


def _finish(base: Path) -> None:
    for top in EMPTIED:
        for path in (base / top).rglob("*") if top != "etc/ssh" else (base / top).glob("ssh_host_*"):
            if path.is_file() or path.is_symlink():
                path.unlink()
    for path in _walk_files():
        target = base / path.relative_to(HERE / "root")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    (base / "etc/machine-id").write_text("")
    (base / "etc/hostname").write_text("localhost\n")
    for folder in ("opt/cni", "lib/modules", "etc/cni/net.d"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    if not (base / "opt/cni/bin").exists():
        (base / "opt/cni/bin").symlink_to("/usr/lib/cni")
    _systemctl(base, "enable", ENABLED)
    _systemctl(base, "disable", DISABLED)
    _systemctl(base, "mask", MASKED)


def _systemctl(base: Path, verb: str, units: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["systemctl", f"--root={base}", "--quiet", verb, *units], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise HostError(f"systemctl {verb} in the base failed: {done.stderr.strip()[-400:]}")
