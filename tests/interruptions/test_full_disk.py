"""A full disk: the message names the file, nothing is lost, and a run with room goes on."""

import shutil
import subprocess

import pytest
from compare import check_parts, check_tidy, files
from jobs import MADE
from test_kills import STAGES

ROOM = (0.1, 0.4, 0.8)  # of what a stage needs


@pytest.fixture
def disk(jobs, stage):
    """A small disk beside the data, and a function that sets its size in bytes."""
    folder = jobs.folder / f"{stage}_full"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "snakecap-test", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("THE FULL DISK IS NOT TESTED: mounting a small one takes root")

    def resize(size):
        size = max(4096, size // 4096 * 4096)  # 0 would be no limit
        options = f"remount,size={size}"
        subprocess.run(["mount", "-o", options, str(folder)], check=True)

    yield folder, resize
    subprocess.run(["umount", str(folder)], check=True)


def used(folder):
    return shutil.disk_usage(folder).used


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_named_and_nothing_is_lost(jobs, disk, stage):
    folder, resize = disk
    log = folder.with_suffix(".log")
    whole = jobs.make(stage)
    expected = files(whole)
    needed = sum(path.stat().st_blocks * 512 for path in whole.rglob("*") if path.is_file())
    failed = 0
    for share in ROOM:
        resize(used(folder) + int(share * needed))
        answer = jobs.run(stage, folder)
        if answer["status"] == 0:
            break
        failed += 1
        assert answer["status"] == 1, log.read_text()
        last = log.read_text().splitlines()[-1]
        assert f"{folder}/" in last and "ake room" in last, log.read_text()
        assert not list(folder.rglob("*.tmp"))
        check_parts(folder, expected)
    assert failed
    resize(64 << 20)
    answer = jobs.run(stage, folder)
    assert answer["status"] == 0, log.read_text()
    assert files(folder) == expected and set(MADE[stage]) <= set(expected)
    check_tidy(folder)
