"""A machine's disk: a sparse file with a file system of the size that its configuration says, and the base below it."""

import asyncio
import contextlib
import shutil
import time
from pathlib import Path

from deploy.lab.hosts.namespaces import HostError, Namespaces, run

# No journal and no inode tables written ahead: the disk need not outlive a crash of this machine, but start at once.
MAKE = ("mkfs.ext4", "-F", "-q", "-m", "0", "-O", "^has_journal", "-i", "65536", "-E", "lazy_itable_init=1,nodiscard")
# On an overlay, another overlay and etcd's files cannot be: these folders are on the disk itself.
DIRECT = ("var/lib/containerd", "var/lib/kubelet", "var/lib/etcd", "var/log/pods")
# Room that the machine cannot use: an overlay on a full disk would be read-only, but full disks do boot.
RESERVE, RESERVE_BYTES = ".lab-reserve", 4 * 1024**2
FREE_S = 20.0


class Disk:
    """`root` is where the whole is put together, in the lab's mount namespace; `mounted` is the disk alone."""

    def __init__(self, folder: Path, base: Path, inside: Namespaces) -> None:
        self.image = folder / "disk.img"
        self.mounted = folder / "disk"
        self.root = folder / "root"
        self._base = base
        self._inside = inside

    async def attach(self, size: int) -> None:
        """Make the file if there is none, let it grow if it is too small, and mount everything."""
        self.mounted.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(exist_ok=True)
        await self._await_free()
        await self._fit(size)
        lower = f"lowerdir={self._base},upperdir={self.mounted}/upper,workdir={self.mounted}/work"
        direct = [str(self.mounted / "direct" / name) for name in DIRECT]
        try:
            await self._inside.run_all([
                ("mount", "-o", "loop,noinit_itable", str(self.image), str(self.mounted)),
                ("rm", "-f", str(self.mounted / RESERVE)),
                ("mkdir", "-p", f"{self.mounted}/upper", f"{self.mounted}/work", *direct),
                ("chmod", "755", f"{self.mounted}/upper"),
                ("mount", "-t", "overlay", "overlay", "-o", lower, str(self.root)),
            ])  # fmt: skip
        except HostError as error:
            await self.detach()
            raise HostError(f"the disk cannot be mounted: {error}") from error

    async def keep_room(self) -> None:
        """Before the machine runs: take the reserve again that `attach` gave free."""
        await run(self._inside.enter("fallocate", "--length", str(RESERVE_BYTES), str(self.mounted / RESERVE)))

    def binds(self) -> list[str]:
        return [f"--bind={self.mounted / 'direct' / name}:/{name}" for name in DIRECT]

    async def detach(self) -> None:
        """Unmount what is mounted. A machine whose last process is just ending may hold it for a moment."""
        for folder in (self.root, self.mounted):
            for _ in range(50):
                done = await run(self._inside.enter("umount", str(folder)))
                if done.code == 0 or "not mounted" in done.err or "no mount point" in done.err:
                    break
                await asyncio.sleep(0.05)

    async def copy_from(self, other: "Disk") -> None:
        if other.image.exists():
            self.image.parent.mkdir(parents=True, exist_ok=True)
            await run(["cp", "--sparse=always", "--reflink=auto", str(other.image), str(self.image)])

    async def _fit(self, size: int) -> None:
        size -= size % 4096
        if not self.image.exists():
            with self.image.open("wb") as made:
                made.truncate(size)
            done = await run([*MAKE, str(self.image)])
        elif self.image.stat().st_size < size:
            with self.image.open("r+b") as grown:
                grown.truncate(size)
            await run(["e2fsck", "-f", "-y", str(self.image)])
            done = await run(["resize2fs", str(self.image)])
        else:
            return
        if done.code != 0:
            raise HostError(f"the disk could not be made: {done.err.strip()[-300:]}")

    async def _await_free(self) -> None:
        """Wait for the kernel to let go of the file, where the lab that had it was killed a moment ago."""
        end = time.monotonic() + FREE_S
        while is_attached(self.image):
            if time.monotonic() > end:
                raise HostError(f"{self.image} is still in use; does another lab run with this folder?")
            await asyncio.sleep(0.05)


def is_attached(image: Path, system: Path = Path("/sys/block")) -> bool:
    for file in system.glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if file.read_text().strip() == str(image.resolve()):
                return True
    return False


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
