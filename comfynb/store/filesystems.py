"""Whether a path lies on a network file system, where file locks cannot be trusted."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from comfynb.errors import NetworkFileSystem

__all__ = ["Mount", "mount_of", "parse_mountinfo", "refuse_network"]

# Types as the kernel names them in mountinfo. FUSE is refused by helper: most of its file systems
# are local (ntfs-3g, mergerfs), these are not.
NETWORK_TYPES = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs2", "glusterfs",
    "gpfs", "lustre", "mfs", "moosefs", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs",
    "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "wekafs",
})  # fmt: skip
NETWORK_FUSE = frozenset({
    "beegfs", "blobfuse", "blobfuse2", "ceph", "ceph-fuse", "curlftpfs", "davfs", "davfs2",
    "gcsfuse", "glusterfs", "goofys", "gvfsd-fuse", "hdfs", "httpfs", "juicefs", "JuiceFS", "moose",
    "mfs", "mountpoint-s3", "portal", "rclone", "s3fs", "s3ql", "seaweedfs", "smbnetfs", "sshfs",
    "vmhgfs-fuse", "wekafs",
})  # fmt: skip

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: where, what type, from where."""

    point: str
    type: str
    source: str

    @property
    def is_network(self) -> bool:
        """Whether other machines may hold locks that this one does not see."""
        kind, _, helper = self.type.partition(".")
        if kind in {"fuse", "fuseblk"}:
            return helper in NETWORK_FUSE
        return kind in NETWORK_TYPES


def parse_mountinfo(text: str) -> list[Mount]:
    """Read the text of /proc/self/mountinfo (proc(5)); later lines lie over earlier ones."""

    def plain(field: str) -> str:
        return _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), field)

    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if separator and len(left) >= 5 and len(right) >= 2:
            mounts.append(Mount(plain(left[4]), right[0], plain(right[1])))
    return mounts


def mount_of(path: Path, mounts: list[Mount]) -> Mount | None:
    """Return the mount that ``path`` (absolute, links resolved) lies on, or None if unknown."""
    text = os.fspath(path)
    best: Mount | None = None
    for mount in mounts:
        prefix = mount.point.rstrip("/") + "/"
        inside = text == mount.point or text.startswith(prefix)
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def refuse_network(path: Path, *, mountinfo: str | None = None) -> None:
    """Raise NetworkFileSystem where ``path`` lies on one.

    Only the kernel's list of mounts is read, never the file system itself: a dead server would
    keep the caller waiting. Where there is no such list (macOS), nothing is refused.
    """
    if mountinfo is None:
        listing = Path("/proc/self/mountinfo")
        if not listing.exists():
            return
        mountinfo = listing.read_text(encoding="utf-8", errors="surrogateescape")
    mount = mount_of(path, parse_mountinfo(mountinfo))
    if mount is not None and mount.is_network:
        raise NetworkFileSystem(
            f"{path} lies on the network file system {mount.point} ({mount.type}), where file "
            "locks cannot be trusted: put the store on a local disk, or use PostgreSQL "
            "(Workbench('postgresql://...')) when several machines share it.",
            path=str(path),
        )
