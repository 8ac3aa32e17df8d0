"""Unpacking: what is safe comes out whole, what is not stops the archive before it begins."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from snakecap.formats import archives
from snakecap.formats.archives import ArchiveError, unpack

FILES = {"a/b/c.txt": b"deep", "top.txt": b"top", "a/empty": b""}


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MAKERS = {"set.zip": make_zip, "set.tar.gz": make_tar}


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", MAKERS)
def test_everything_comes_out(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name, FILES)
    assert sorted(unpack(archive, tmp_path / "out")) == sorted(FILES)
    assert content(tmp_path / "out") == FILES


@pytest.mark.parametrize("name", MAKERS)
def test_archives_that_share_a_folder_are_merged(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    unpack(MAKERS[name](tmp_path / name, {"annotations/a.json": b"1"}), out)
    unpack(MAKERS[name](tmp_path / name, {"annotations/b.json": b"2"}), out)
    assert content(out) == {"annotations/a.json": b"1", "annotations/b.json": b"2"}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "bad", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt", "C:/out.txt", "C:out"]
)
def test_names_that_leave_the_folder(tmp_path: Path, maker: str, bad: str) -> None:
    archive = MAKERS[maker](tmp_path / maker, {"good.txt": b"", bad: b"evil"})
    with pytest.raises(ArchiveError, match="leads outside"):
        unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == {}
    assert content(tmp_path).keys() == {maker}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ArchiveError, match="'link' is a link or a device"):
        unpack(path, tmp_path / "out")


def test_links_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="'link' is a link or a device"):
        unpack(tmp_path / "set.zip", tmp_path / "out")


def test_a_link_that_is_there_already_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").symlink_to(victim)
    unpack(make_zip(tmp_path / "set.zip", {"a.txt": b"theirs"}), tmp_path / "out")
    assert victim.read_text() == "mine"
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"theirs"


@pytest.mark.parametrize("name", MAKERS)
def test_a_cut_archive_leaves_nothing(tmp_path: Path, name: str) -> None:
    data = {f"{i}.bin": bytes([i]) * 9000 + bytes(range(256)) * 40 for i in range(20)}
    archive = MAKERS[name](tmp_path / name, data)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArchiveError, match=name):
        unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == {}


def test_a_damaged_member_leaves_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("a.txt", b"good")
        packed.writestr("b.txt", b"x" * 1000)
    archive.write_bytes(archive.read_bytes().replace(b"xxxx", b"xxyx", 1))
    with pytest.raises(ArchiveError, match=r"cannot be unpacked: Bad CRC.*b\.txt"):
        unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == {}


def test_a_name_that_is_both_file_and_folder(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "set.zip", {"a": b"", "a/b": b""})
    with pytest.raises(ArchiveError, match="both a file and a folder"):
        unpack(archive, tmp_path / "out")


def test_not_an_archive(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"hello")
    with pytest.raises(ArchiveError, match="neither a zip nor a tar"):
        unpack(tmp_path / "set.zip", tmp_path / "out")


def test_too_large_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "set.zip", {"a": b"x" * 1000})
    usage = type("Usage", (), {"free": 999})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ArchiveError, match=r"unpacks to 1000 bytes.*999 free"):
        unpack(archive, tmp_path / "out")
