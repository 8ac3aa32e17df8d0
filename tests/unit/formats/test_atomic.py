"""Files are whole or not there."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from snakecap.formats import atomic


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "file.txt"
    atomic.write_text(path, "old")
    with pytest.raises(RuntimeError), atomic.writing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [found.name for found in path.parent.iterdir()] == ["file.txt"]


def test_the_file_appears_only_when_the_block_ends(tmp_path):
    path = tmp_path / "file.txt"
    with atomic.writing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename must not cross file systems"
    assert path.read_text() == "whole"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_others_may_read_what_the_umask_lets_them(tmp_path, umask):
    """Whatever wrote it: safetensors makes its files private, results are for a whole team."""
    path = tmp_path / "model.safetensors"
    before = os.umask(umask)
    try:
        with atomic.writing(path) as temporary:
            save_file({"a": torch.zeros(1)}, temporary)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_text_keeps_lone_surrogates_and_line_ends(tmp_path):
    path = tmp_path / "file.txt"
    atomic.write_text(path, "a\r\nb\ud800\u2028")
    assert atomic.read_text(path) == "a\r\nb\ud800\u2028".replace("\r\n", "\n")


def test_json_keeps_every_digit_and_names_a_broken_file(tmp_path):
    path = tmp_path / "file.json"
    atomic.write_json(path, {"x": 0.1 + 0.2, "name": "é"})
    assert atomic.read_json(path) == {"x": 0.1 + 0.2, "name": "é"}
    path.write_text('\ufeff{"x": 1}')
    assert atomic.read_json(path) == {"x": 1}, "Windows's tools write a byte order mark"
    atomic.write_json(path, {"file": "odd\udcff.jpg"})
    assert json.loads(path.read_bytes()) == {"file": "odd\udcff.jpg"}, "valid UTF-8 for all tools"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"file\.json .*nested too deeply"):
        atomic.read_json(path)
    path.write_text('{"x": ')
    with pytest.raises(ValueError, match=r"file\.json is not valid JSON.*line 1"):
        atomic.read_json(path)


def test_a_link_is_put_in_place_and_what_it_leads_to_is_left_alone(tmp_path):
    """As into a shared folder, whose files are read-only and another user's."""
    target = tmp_path / "theirs"
    target.write_text("shared")
    target.chmod(0o400)
    before = target.stat()
    with atomic.writing(tmp_path / "ours") as temporary:
        temporary.symlink_to(target)
    assert (tmp_path / "ours").readlink() == target
    after = target.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
