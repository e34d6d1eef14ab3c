from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.errors import NetworkFileSystem
from comfynb.store.duck import DuckDatabase
from comfynb.store.filesystems import Mount, mount_of, parse_mountinfo, refuse_network

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
31 27 0:40 / /home rw,relatime shared:2 master:3 - nfs4 server:/home rw,vers=4.2
32 27 0:41 / /home/me/local rw - xfs /dev/sdb rw
33 27 0:42 / /mnt/my\040share rw - cifs //nas/x rw
34 27 0:43 / /mnt/ssh rw - fuse.sshfs me@host: rw
35 27 0:44 / /mnt/ntfs rw - fuseblk /dev/sdc1 rw
36 27 0:45 / /mnt/c rw - 9p C:\134 rw
37 27 0:46 / /mnt/merged rw - fuse.mergerfs a:b rw
38 27 0:47 / /mnt/over rw - ext4 /dev/sdd rw
39 27 0:48 / /mnt/over rw - lustre mgs:/fs rw
garbage
"""


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/data/lab.duckdb", False),
        ("/home/me/lab.duckdb", True),
        ("/homely/lab.duckdb", False),
        ("/home/me/local/lab.duckdb", False),
        ("/mnt/my share/lab.duckdb", True),
        ("/mnt/ssh/a/b/lab.duckdb", True),
        ("/mnt/ntfs/lab.duckdb", False),
        ("/mnt/c/Users/lab.duckdb", True),
        ("/mnt/merged/lab.duckdb", False),
        ("/mnt/over/lab.duckdb", True),
    ],
)
def test_network_file_systems_are_refused_with_a_way_out(path: str, refused: bool) -> None:
    if not refused:
        refuse_network(Path(path), mountinfo=MOUNTS)
        return
    with pytest.raises(NetworkFileSystem, match="PostgreSQL") as caught:
        refuse_network(Path(path), mountinfo=MOUNTS)
    assert caught.value.path == path
    assert path in str(caught.value)


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "lustre", "beegfs", "afs", "gpfs"]
    + [f"fuse.{helper}" for helper in ("sshfs", "rclone", "glusterfs", "s3fs", "gcsfuse")],
)
def test_every_kind_of_network_file_system_is_known(kind: str) -> None:
    assert Mount("/", kind, "x").is_network


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuse.ntfs-3g"]
)
def test_local_ones_pass(kind: str) -> None:
    assert not Mount("/", kind, "x").is_network


def test_a_store_is_not_opened_on_one(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileSystem):
        DuckDatabase(Path("/home/me/lab.duckdb"), mountinfo=MOUNTS)
    refuse_network(tmp_path / "here.duckdb")


names = st.text("ab \\\t", min_size=1, max_size=4)


@given(st.lists(st.tuples(st.lists(names, max_size=3), st.booleans()), max_size=6), st.lists(names))
def test_the_deepest_and_latest_mount_decides(
    mounts: list[tuple[list[str], bool]], parts: list[str]
) -> None:
    def escaped(point: str) -> str:
        return "".join(f"\\{ord(c):03o}" if c in " \t\\" else c for c in point)

    text = "".join(
        f"1 1 0:1 / {escaped('/' + '/'.join(point))} rw - {'nfs' if network else 'ext4'} src rw\n"
        for point, network in mounts
    )
    expected: tuple[int, bool] | None = None
    for point, network in mounts:
        if parts[: len(point)] == point and (expected is None or len(point) >= expected[0]):
            expected = (len(point), network)
    found = mount_of(Path("/" + "/".join(parts)), parse_mountinfo(text))
    assert (found.is_network if found else None) == (expected[1] if expected else None)
