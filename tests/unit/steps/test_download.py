"""Stage `download` against a server on this machine that misbehaves on request."""

import fcntl
import hashlib
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakecap.config.settings import Download
from snakecap.formats.downloads import ChecksumError, DownloadError
from snakecap.steps.download import download

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes: several blocks


class Server(http.server.ThreadingHTTPServer):
    """Serves `body`; every fault is an attribute that a test sets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag: str | None = '"v1"'
        self.drop_after: list[int] = []  # bytes after which each next answer breaks off
        self.statuses: list[int] = []  # sent first, one an answer
        self.ranges = True
        self.promised_extra = 0  # bytes promised and never sent
        self.with_length = True
        self.requests: list[tuple[str | None, str | None]] = []  # Range, If-Range

    def url(self, name: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}/some/{name}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken pipes are the point here."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.requests.append((self.headers["Range"], self.headers["If-Range"]))
        if server.statuses:
            self.send_response(server.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self.first_byte()
        body, total = server.body[start:], len(server.body)
        if start > 0 and not body:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.with_length:
            self.send_header("Content-Length", str(len(body) + server.promised_extra))
        self.end_headers()
        end = server.drop_after.pop(0) if server.drop_after else None
        self.wfile.write(body[:end])

    def first_byte(self) -> int:
        wanted, condition = self.headers["Range"], self.headers["If-Range"]
        if not wanted or not self.server.ranges or condition not in (None, self.server.etag):
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(folder: Path, *items: Download, retries: int = 3) -> list[dict]:
    manifest = folder / "manifest.json"
    download(
        manifest=manifest, folder=folder, downloads=list(items), retries=retries, back_off=0.001
    )
    return json.loads(manifest.read_text())["files"]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def left_over(folder: Path) -> list[str]:
    """Hidden and partial files, without the lock."""
    names = (path.name for path in folder.iterdir())
    return [n for n in names if ".part" in n or (n.startswith(".") and n != ".lock")]


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_fetches_and_writes_the_manifest(server: Server, tmp_path: Path) -> None:
    row = run(
        tmp_path, Download(url=server.url("a%20b.bin"), sha256=sha(BODY).upper(), size=1024000)
    )[0]
    assert (tmp_path / "a b.bin").read_bytes() == BODY
    assert row == {
        "file": "a b.bin",
        "url": server.url("a%20b.bin"),
        "path": str(tmp_path / "a b.bin"),
        "sha256": sha(BODY),
        "size": len(BODY),
    }
    assert not left_over(tmp_path)


def test_a_second_run_asks_the_server_nothing(server: Server, tmp_path: Path) -> None:
    run(tmp_path, Download(url=server.url()))
    server.requests.clear()
    run(tmp_path, Download(url=server.url()))
    assert server.requests == []


def test_resumes_after_dropped_connections(server: Server, tmp_path: Path) -> None:
    server.drop_after = [300_000, 1, 400_000]
    run(tmp_path, Download(url=server.url()), retries=0)
    assert (tmp_path / "file.bin").read_bytes() == BODY
    # Each request asked for the rest only, of the same version.
    starts = [int(wanted[6:-1]) if wanted else 0 for wanted, _ in server.requests]
    assert starts == [0, 300_000, 300_001, 700_001]
    assert {condition for _, condition in server.requests[1:]} == {'"v1"'}


def test_resumes_in_a_later_run(server: Server, tmp_path: Path) -> None:
    server.drop_after, server.statuses = [500_000], []
    server.promised_extra = 0
    with pytest.raises(DownloadError, match="HTTP 404"):
        first_then(server, 404)
        run(tmp_path, Download(url=server.url()), retries=0)
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert server.requests[-1] == ("bytes=500000-", '"v1"')


def first_then(server: Server, status: int) -> None:
    """Let the next answer break off and the one after it be `status`."""

    class Later(list):
        def __bool__(self) -> bool:
            return len(server.requests) > 1 and len(self) > 0

    server.statuses = Later([status])


def test_a_file_that_changed_is_not_spliced(server: Server, tmp_path: Path) -> None:
    changed = BODY[::-1]
    server.drop_after = [500_000]
    original = Handler.first_byte

    def change(handler: Handler) -> int:
        if len(server.requests) == 2:
            server.body, server.etag = changed, '"v2"'
        return original(handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "first_byte", change)
        run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == changed


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_validator_it_starts_again(
    server: Server, tmp_path: Path, etag: str | None
) -> None:
    server.etag, server.drop_after = etag, [500_000]
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert server.requests == [(None, None), (None, None)]


def test_a_server_that_ignores_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges, server.drop_after = False, [500_000]
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert server.requests[1][0] == "bytes=500000-"


def test_a_mirror_with_another_version_is_not_spliced(server: Server, tmp_path: Path) -> None:
    """It ignores If-Range and sends the rest of a file with another ETag."""
    server.drop_after = [500_000]
    original = Handler.first_byte

    def mirror(handler: Handler) -> int:
        if len(server.requests) == 2:
            server.body, server.etag = BODY[::-1], '"v2"'
            del handler.headers["If-Range"]
        return original(handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "first_byte", mirror)
        run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == BODY[::-1]
    assert [wanted for wanted, _ in server.requests] == [None, "bytes=500000-", None]


def test_a_server_that_promises_too_much(server: Server, tmp_path: Path) -> None:
    server.promised_extra = 10
    with pytest.raises(DownloadError, match="promised 1024010 bytes and sent 1024000"):
        run(tmp_path, Download(url=server.url()), retries=1)
    assert not (tmp_path / "file.bin").exists()
    assert not (tmp_path / "manifest.json").exists()


def test_a_server_that_promises_too_little(server: Server, tmp_path: Path) -> None:
    server.promised_extra = -24_000
    with pytest.raises(DownloadError, match="has 1000000 bytes, not the 1024000 of `size`"):
        run(tmp_path, Download(url=server.url(), size=len(BODY)))
    with pytest.raises(ChecksumError, match="did not send the expected file"):
        run(tmp_path, Download(url=server.url(), sha256=sha(BODY)))
    assert not (tmp_path / "file.bin").exists()


def test_a_server_that_gives_no_length(server: Server, tmp_path: Path) -> None:
    server.with_length, server.drop_after = False, [500_000]
    with pytest.raises(ChecksumError, match="has 500000 bytes, expected 1024000"):
        run(tmp_path, Download(url=server.url(), size=len(BODY)))
    run(tmp_path, Download(url=server.url(), size=len(BODY)))
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_a_bad_checksum_names_both_and_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError) as caught:
        run(tmp_path, Download(url=server.url(), sha256="0" * 64))
    assert sha(BODY) in str(caught.value) and "0" * 64 in str(caught.value)
    assert server.url() in str(caught.value)
    assert not (tmp_path / "file.bin").exists() and not left_over(tmp_path)
    assert len(server.requests) == 1, "13 GB are not fetched twice for a wrong checksum"


def test_a_resumed_file_that_does_not_verify_is_fetched_afresh(
    server: Server, tmp_path: Path
) -> None:
    """The bytes on disk were damaged between two runs."""
    part = tmp_path / "file.bin.part"
    part.write_bytes(b"\0" * 500_000)
    record = {"url": server.url(), "etag": '"v1"', "modified": None, "length": len(BODY)}
    (tmp_path / "file.bin.part.json").write_text(json.dumps(record))
    run(tmp_path, Download(url=server.url(), sha256=sha(BODY)))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert [wanted for wanted, _ in server.requests] == ["bytes=500000-", None]


def test_a_part_that_was_complete_is_kept(server: Server, tmp_path: Path) -> None:
    """Killed between the last byte and the rename: the server answers 416."""
    (tmp_path / "file.bin.part").write_bytes(BODY)
    record = {"url": server.url(), "etag": '"v1"', "modified": None, "length": len(BODY)}
    (tmp_path / "file.bin.part.json").write_text(json.dumps(record))
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert server.requests == [(f"bytes={len(BODY)}-", '"v1"')]


def test_a_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(BODY + b"more")
    record = {"url": server.url(), "etag": '"v1"', "modified": None, "length": len(BODY)}
    (tmp_path / "file.bin.part.json").write_text(json.dumps(record))
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_the_part_of_another_url_is_not_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"other")
    record = {
        "url": "http://elsewhere/file.bin",
        "etag": '"v1"',
        "modified": None,
        "length": len(BODY),
    }
    (tmp_path / "file.bin.part.json").write_text(json.dumps(record))
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_the_first_download_records_and_later_runs_verify(server: Server, tmp_path: Path) -> None:
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin.sha256").read_text() == f"{sha(BODY)}  file.bin\n"
    (tmp_path / "file.bin").write_bytes(b"rotten")
    with pytest.raises(ChecksumError, match=r"file\.bin is not the expected file"):
        run(tmp_path, Download(url=server.url()))
    # Deleted and fetched again, it must still be the file that was recorded.
    (tmp_path / "file.bin").unlink()
    server.body = b"another"
    with pytest.raises(ChecksumError, match=r"delete .*file\.bin\.sha256 to accept it"):
        run(tmp_path, Download(url=server.url()))
    (tmp_path / "file.bin.sha256").unlink()
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == b"another"


def test_a_record_that_is_no_checksum_is_an_error(server: Server, tmp_path: Path) -> None:
    run(tmp_path, Download(url=server.url()))
    (tmp_path / "file.bin.sha256").write_text("")
    with pytest.raises(ChecksumError, match="does not hold a sha256: delete it"):
        run(tmp_path, Download(url=server.url()))


def test_missing_files_are_errors_at_once(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(DownloadError, match=r"some/file\.bin: HTTP 404"):
        run(tmp_path, Download(url=server.url()))
    assert len(server.requests) == 1


def test_busy_servers_are_asked_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    run(tmp_path, Download(url=server.url()))
    assert (tmp_path / "file.bin").read_bytes() == BODY
    server.statuses = [503] * 9
    with pytest.raises(DownloadError, match=r"HTTP 503.*gave up after 4 attempts"):
        run(tmp_path, Download(url=server.url("other.bin")))


def test_no_server_at_all(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="connection failed"):
        run(tmp_path, Download(url="http://127.0.0.1:9/file.bin"), retries=1)


def test_an_empty_file(server: Server, tmp_path: Path) -> None:
    server.body = b""
    assert run(tmp_path, Download(url=server.url()))[0]["size"] == 0


def test_a_disk_that_is_too_small(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snakecap.formats import downloads

    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError, match="1000 free: make room"):
        run(tmp_path, Download(url=server.url()))


def test_archives_are_unpacked_and_checked_on_later_runs(server: Server, tmp_path: Path) -> None:
    server.body = packed({"train/a.jpg": b"A", "notes.txt": b"N", "__MACOSX/._a": b"x"})
    item = Download(url=server.url("set.zip"), unpack=True)
    run(tmp_path, item)
    assert (tmp_path / "train/a.jpg").read_bytes() == b"A"
    assert not (tmp_path / "__MACOSX").exists()
    before = (tmp_path / "notes.txt").stat().st_mtime_ns
    run(tmp_path, item)
    assert (tmp_path / "notes.txt").stat().st_mtime_ns == before, "nothing was unpacked again"
    (tmp_path / "train/a.jpg").unlink()
    run(tmp_path, item)
    assert (tmp_path / "train/a.jpg").read_bytes() == b"A"
    assert len(server.requests) == 1


def test_a_login_page_instead_of_an_archive(server: Server, tmp_path: Path) -> None:
    server.body = b"<html>please log in</html>"
    with pytest.raises(DownloadError, match="please log in"):
        run(tmp_path, Download(url=server.url("set.zip"), unpack=True))
    assert not (tmp_path / "set.zip").exists()
    assert not (tmp_path / "set.zip.sha256").exists()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_local_file_is_used_in_place(tmp_path: Path, scheme: str) -> None:
    there = tmp_path / "disk" / "set.zip"
    there.parent.mkdir()
    there.write_bytes(packed({"a.txt": b"A"}))
    folder = tmp_path / "downloads"
    row = run(folder, Download(url=f"{scheme}{there}", unpack=True))[0]
    assert row["path"] == str(there) and row["sha256"] == sha(there.read_bytes())
    assert (folder / "set.zip").is_symlink()
    assert (folder / "a.txt").read_bytes() == b"A"
    assert [path.name for path in there.parent.iterdir()] == ["set.zip"], "nothing is added there"
    there.write_bytes(packed({"a.txt": b"B"}))
    with pytest.raises(ChecksumError, match="not the expected file"):
        run(folder, Download(url=str(there), unpack=True))


def test_a_local_folder_is_used_in_place(tmp_path: Path) -> None:
    there = tmp_path / "disk" / "train2014"
    there.mkdir(parents=True)
    (there / "a.jpg").write_bytes(b"A")
    folder = tmp_path / "downloads"
    for _ in range(2):
        row = run(folder, Download(url=str(there)))[0]
    assert row == {
        "file": "train2014",
        "url": str(there),
        "path": str(there),
        "sha256": None,
        "size": None,
    }
    assert (folder / "train2014/a.jpg").read_bytes() == b"A"


def test_local_mistakes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist: correct the path"):
        run(tmp_path, Download(url=str(tmp_path / "nowhere")))
    (tmp_path / "file.bin").write_bytes(b"mine")
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/file.bin").write_bytes(b"other")
    with pytest.raises(FileExistsError, match="in the way"):
        run(tmp_path, Download(url=str(tmp_path / "disk/file.bin")))


def test_urls_without_a_usable_name_are_refused(tmp_path: Path) -> None:
    for url in ("http://host/", "http://host/a/..", "http://host/%2E%2E", "ftp://host/file"):
        with pytest.raises(ValueError, match="downloads: "):
            run(tmp_path, Download(url=url))
    with pytest.raises(ValueError, match="same file: a"):
        run(tmp_path, Download(url="http://one/a"), Download(url="http://two/a"))


def test_a_second_writer_waits(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / ".lock").open("w") as held:  # as another process holds it
        fcntl.flock(held, fcntl.LOCK_EX)
        release = threading.Timer(0.3, fcntl.flock, (held, fcntl.LOCK_UN))
        release.start()
        run(tmp_path, Download(url=server.url()))
        release.join()
    assert "another process (unknown): waiting for it" in caplog.text


def test_a_folder_of_another_user_is_used_as_it_is(server: Server, tmp_path: Path) -> None:
    """Nothing is written there, not even a lock: it is verified alone."""
    server.body = packed({"a.txt": b"a"})
    wanted = Download(url=server.url("file.zip"), unpack=True)
    first = run(tmp_path, wanted)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").mkdir()  # whoever would lock fails
    manifest = tmp_path.with_name(f"{tmp_path.name}.json")
    download(manifest=manifest, folder=tmp_path, downloads=[wanted])
    assert json.loads(manifest.read_text())["files"] == first
    (tmp_path / ".lock").rmdir()
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert {path: before[path] for path in after} == after
    assert len(server.requests) == 1


def test_no_downloads_is_an_empty_manifest(tmp_path: Path) -> None:
    assert run(tmp_path) == []
