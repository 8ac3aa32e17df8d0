"""Training while it runs: the table, the page, the event files."""

import json
import math
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from snakecap.cli import main
from snakecap.steps.watch import _curve


def history(path, losses, ciders=(), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    past = {
        "iteration": len(losses),
        "seconds": 90.0,
        "throughput": 1234.5,
        "loss_history": {str(at): value for at, value in enumerate(losses, 1)},
        "val_loss_history": {str(at): 2.5 for at, _ in enumerate(ciders, 1)},
        "val_lang_stats_history": {str(at): {"CIDEr": v} for at, v in enumerate(ciders, 1)},
        "stopped": "",
        **more,
    }
    path.write_text(json.dumps(past))


def test_the_table_says_what_there_is(tmp_path, capsys):
    history(tmp_path / "set/one/frozen/history.json", [4, 3, math.nan, 2.0], [0.3, 0.5, 0.4])
    (tmp_path / "set/one/frozen/history.json.provenance.json").write_text("{}")
    history(tmp_path / "set/two/frozen/history.json", [5.0], stopped="loss 900 is over 20 times")
    history(tmp_path / "set/three/frozen/history.json", [])
    history(tmp_path / "set/.work/x/history.json", [1.0])  # another job's own
    (tmp_path / "set/other/tool").mkdir(parents=True)
    (tmp_path / "set/other/tool/history.json").write_text("[]")
    main(["watch", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "set/three/frozen",  # what runs comes first
        "set/two/frozen",
        "set/one/frozen",
    ]
    assert "written " in lines[1] and "stopped early" in lines[2]
    assert "done in 1.5 min" in lines[3] and "2.000" in lines[3] and "0.500" in lines[3]
    assert "1,234" in lines[3] or "1,235" in lines[3]


def test_a_curve_goes_from_the_lowest_to_the_highest():
    assert _curve([1, 2, 3]) == "▁▄█" or _curve([1, 2, 3]) == "▁▅█"
    assert _curve([2.0]) == "▁" and _curve([]) == ""
    long = _curve([math.cos(at / 100) for at in range(314)])
    assert len(long) == 12 and long[0] == "█" and long[-1] == "▁"
    assert list(long) == sorted(long, reverse=True)


def test_the_page_is_drawn_again_within_three_seconds(tmp_path):
    """In a terminal, as a person has it; Ctrl-C ends it without a traceback."""
    path, page = tmp_path / "results/one/frozen/history.json", tmp_path / "page.html"
    history(path, [4.0])
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "snakecap", "watch", str(tmp_path / "results")]
    watching = subprocess.Popen(
        [*command, "--page", str(page)], stdout=theirs, stderr=theirs, stdin=theirs,
        start_new_session=True,
    )  # fmt: skip
    try:
        said = b""

        def wait(something, seconds):
            nonlocal said
            end = time.monotonic() + seconds
            while not something():
                assert time.monotonic() < end, said.decode()
                if select.select([ours], [], [], 0.05)[0]:
                    said += os.read(ours, 65536)

        wait(lambda: page.exists() and b"4.000" in said, 60)
        history(path, [4.0, 3.125])
        wait(lambda: "3.125" in page.read_text() and b"3.125" in said, 3)
        assert "done" not in page.read_text()
        path.with_name("history.json.provenance.json").write_text("{}")
        wait(lambda: "done in 1.5 min" in page.read_text(), 3)
        assert "<svg" in page.read_text() and 'content="2"' in page.read_text()
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(30)
        os.close(ours)
        os.close(theirs)
    assert b"Traceback" not in said


def test_event_files_hold_every_number_once(tmp_path):
    pytest.importorskip("tensorboardX", reason="the optional extra snakecap[tensorboard]")
    from tensorboardX.proto.event_pb2 import Event

    from snakecap.report.entries import Entry
    from snakecap.steps.watch import Events

    def entry(losses, ciders):
        history(tmp_path / "history.json", losses, ciders)
        return Entry("one", "frozen", history=json.loads((tmp_path / "history.json").read_text()))

    with Events(tmp_path / "events") as events:
        events.write([entry([4.0, 3.0], [0.25])])
        events.write([entry([4.0, 3.0, 2.0], [0.25, 0.5])])
    (file,) = (tmp_path / "events/one/frozen").iterdir()
    data, found = file.read_bytes(), []
    while data:  # a record: length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    assert sorted(found) == [
        ("loss/train", 1, 4.0),
        ("loss/train", 2, 3.0),
        ("loss/train", 3, 2.0),
        ("loss/validation", 1, 2.5),
        ("loss/validation", 2, 2.5),
        ("score/CIDEr", 1, 0.25),
        ("score/CIDEr", 2, 0.5),
    ]


def test_what_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    for words, wrong in (
        ([str(tmp_path / "nothing")], "is not a folder: give the one that holds results"),
        ([str(tmp_path), "--tensorboard", "x"], "pip install 'snakecap[tensorboard]'"),
    ):
        with pytest.raises(SystemExit):
            main(["watch", *words])
        assert wrong in capsys.readouterr().err
