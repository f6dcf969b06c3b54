"""One machine: its disk, its network, its processes; from power on to power off, whichever way that comes."""

import asyncio
import contextlib
import os
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

from deploy.lab.hosts.cgroups import Hierarchy, make_groups, remove_groups
from deploy.lab.hosts.cloudinit import render_script
from deploy.lab.hosts.disks import Disk
from deploy.lab.hosts.namespaces import Done, HostError, Namespaces, children_of, descendants_of, name_of, run
from deploy.lab.hosts.plan import Plan

BOOT_S = 60.0
LOOK_S = 0.02
REBOOT = 133  # what systemd-nspawn ends with when the system inside wants to be started again
# Nobody in a machine may set this computer's clock, load modules into its kernel or reach its devices' memory.
KEPT_BACK = "CAP_SYS_TIME,CAP_SYS_MODULE,CAP_SYS_RAWIO"


class Machine:
    """`leader` is the process number of the machine's init as this computer sees it; None while it is off."""

    def __init__(
        self,
        folder: Path,
        base: Path,
        inside: Namespaces,
        run_name: str,
        places: list[Hierarchy],
        went_off: Callable[[], None],
    ) -> None:
        self.disk = Disk(folder, base, inside)
        self.console = folder / "console.log"
        self.leader: int | None = None
        self.plan: Plan | None = None
        self.missing_limits: list[str] = []
        self.groups: list[Path] = []
        self._folder = folder
        self._inside = inside
        self._run_name = run_name
        self._places = places
        self._went_off = went_off
        self.network = folder / "network"
        self._watch: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._off = asyncio.Event()
        self._asked_off = False

    async def start(self, plan: Plan) -> None:
        """Return when the machine's init runs; HostError if it does not come to that, and then nothing is left."""
        if self.leader is not None:
            raise HostError("it is on already")
        self._inside.require_open()
        self.plan = plan
        self._off.clear()
        try:
            await self.disk.attach(plan.disk)
            await self._inside.run("chroot", str(self.disk.root), "sh", "-eu", "-s", given=render_script(plan))
            await self.disk.keep_room()
            await self._inside.run_all(self._network_commands(plan))
            await self._boot(plan)
        except HostError:
            await self._cut_process()
            await self._clear()
            raise
        self._watch = asyncio.create_task(self._watch_over())

    async def cut(self) -> None:
        """Power off at once: the cables first, so that nobody hears a dying machine; then its processes."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self.plan is not None:
            for card in self.plan.cards:
                await run(self._inside.enter("ip", "link", "set", card.tap, "down"))
        await self._cut_process()
        await self._clear()

    async def shut_down(self, timeout_s: float) -> None:
        if self.leader is None:
            return
        self._asked_off = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.leader, signal.SIGRTMIN + 4)  # systemd's own signal for poweroff.target
        try:
            await asyncio.wait_for(self._off.wait(), timeout_s)
        except TimeoutError:
            raise HostError("VM quit/powerdown failed - got timeout") from None
        finally:
            self._asked_off = False

    async def run(self, *command: str, given: str = "", timeout_s: float = 30.0) -> Done:
        """Run something inside, as root."""
        if self.leader is None:
            raise HostError("the machine is off")
        return await run([*self.entry(), *command], given, timeout_s)

    def entry(self) -> list[str]:
        """The command that leads into the machine: into its namespaces and its cgroups, with an environment of its own."""
        join = "".join(f"echo $$ > {shlex.quote(str(group / 'cgroup.procs'))}; " for group in self._own_groups())
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        into = [
            "nsenter",
            f"--target={self.leader}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
            "--root",
            "--wd=/",
        ]
        return ["sh", "-c", f'{join}exec "$@"', "sh", *into, "env", "-i", path, "HOME=/root", "TERM=dumb"]

    def _own_groups(self) -> list[Path]:
        """Not version 2: there a group that has groups of its own takes no processes, and nsenter is let in anyway."""
        return [group for group in self.groups if not (group / "cgroup.controllers").exists()]

    # From power on ------------------------------------------------------------------------------------------------

    def _network_commands(self, plan: Plan) -> list[list[str]]:
        network = str(self.network)
        self.network.touch()
        commands = [
            ["unshare", f"--net={network}", "true"],
            ["nsenter", f"--net={network}", "ip", "link", "set", "lo", "up"],
        ]
        for card in plan.cards:
            far_end = ["peer", "name", card.name, "address", card.mac, "netns", network]
            commands += [
                ["ip", "link", "add", card.tap, "type", "veth", *far_end],
                ["ip", "link", "set", card.tap, "master", card.bridge, "up" if card.plugged else "down"],
            ]
        return commands

    async def _boot(self, plan: Plan) -> None:
        self.groups, self.missing_limits = make_groups(
            self._run_name, str(plan.vmid), plan.memory, plan.cpus, self._places
        )
        join = "".join(f"echo $$ > {shlex.quote(str(group / 'cgroup.procs'))}; " for group in self.groups)
        self.console.touch()
        with self.console.open("ab") as console:
            console.write(f"\n--- power on, {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC\n".encode())
            console.flush()
            self._process = await asyncio.create_subprocess_exec(
                "sh", "-c", f'{join}exec "$@"', "sh", *self._inside.enter(*self._nspawn(plan)),
                cwd="/", stdin=asyncio.subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        end = time.monotonic() + BOOT_S
        while self.leader is None:
            if self._process.returncode is not None or time.monotonic() > end:
                raise HostError(f"the machine did not start; its console ends with:\n{self.read_console(12)}")
            await asyncio.sleep(LOOK_S)
            self.leader = _find_leader(self._process.pid)

    def _nspawn(self, plan: Plan) -> list[str]:
        """systemd-nspawn, with a /run of its own: what it notes there is nobody else's business and ends with it."""
        kmsg = ["--bind=/dev/kmsg"] if Path("/dev/kmsg").exists() else []
        return [
            "env", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
            "unshare", "--mount", "--propagation=slave", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh",
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={plan.name.partition('.')[0]}",
            "--capability=all", f"--drop-capability={KEPT_BACK}", "--system-call-filter=@keyring bpf",
            f"--network-namespace-path={self.network}", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
            *kmsg, *self.disk.binds(), f"--directory={self.disk.root}", "--boot",
        ]  # fmt: skip

    # To power off -------------------------------------------------------------------------------------------------

    async def _watch_over(self) -> None:
        """Notice the end that nobody asked for: the system inside powered off, rebooted or died."""
        assert self._process is not None
        assert self.plan is not None
        code = await self._process.wait()
        await self._clear()
        self._off.set()
        self._watch = None
        if self._asked_off:
            return
        if code == REBOOT:
            with contextlib.suppress(HostError):
                await self.start(self.plan)
                return
        self._went_off()

    async def _cut_process(self) -> None:
        if self._process is None:
            return
        for pid in filter(None, [self.leader, *outside_of(self._process.pid)]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()

    async def _clear(self) -> None:
        """What a machine loses with its power: its processes' groups, its network, its mounts."""
        self.leader = self._process = None
        if self.plan is not None:
            for card in self.plan.cards:
                await run(self._inside.enter("ip", "link", "delete", card.tap))
        await asyncio.to_thread(remove_groups, self.groups)
        self.groups = []
        if self.network.exists():
            await run(self._inside.enter("umount", str(self.network)))
            self.network.unlink()
        await self.disk.detach()

    def read_console(self, lines: int) -> str:
        try:
            return "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""


def _find_leader(pid: int) -> int | None:
    """The machine's init: a child of systemd-nspawn that already is systemd; before it there is a short-lived one."""
    for candidate in outside_of(pid):
        if name_of(candidate) == "systemd-nspawn":
            for child in children_of(candidate):
                if name_of(child) == "systemd":
                    return child
    return None


def outside_of(pid: int) -> list[int]:
    """The process and what it started, down to the machine's init; not what runs in the machine."""
    return descendants_of(pid, closed="systemd")
