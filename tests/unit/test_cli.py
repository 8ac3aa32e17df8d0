"""The `snakecap` command: every subcommand is there, explains itself and fails politely."""

import inspect
import json
import signal
import subprocess
import sys
from pathlib import Path

import docstring_parser
import pytest

from snakecap import cli

ROOT = Path(__file__).parents[2]


def shell(*words):
    """The command as a user runs it; torchrun starts it so too (docs/cluster.md)."""
    command = [sys.executable, "-m", "snakecap", *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_every_rule_has_a_command():
    stages = {path.stem for path in (ROOT / "workflow" / "scripts").glob("*.py")}
    called = {row.location.partition(":")[0] for row in cli.COMMANDS.values()}
    assert {f"steps.{stage}" for stage in stages} <= called


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_argument_is_explained(capsys, name):
    chosen = cli.load(name)
    documented = docstring_parser.parse(chosen.__doc__)
    described = {entry.arg_name: entry.description for entry in documented.params}
    assert described.keys() == inspect.signature(chosen).parameters.keys()
    assert all(described.values()) and documented.short_description
    cli.main([name, "--help"])
    assert f"Usage: snakecap {name}" in capsys.readouterr().out


def test_the_overview_lists_every_command(capsys):
    for words in ([], ["--help"], ["-h"]):
        cli.main(words)
        text = capsys.readouterr().out
        assert all(f"│ {name} " in text for name in cli.COMMANDS)


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out.startswith("snakecap 0.")


@pytest.mark.parametrize(("given", "said"), [("scor", 'Did you mean "score"?'), ("xyz", "--help")])
def test_an_unknown_command(capsys, given, said):
    with pytest.raises(SystemExit) as caught:
        cli.main([given])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_list_that_takes_all_that_follows_it_is_said(capsys):
    with pytest.raises(SystemExit):
        cli.main(["score", "--scores", "out.json", "results.json", "references.json"])
    message = capsys.readouterr().err
    assert "RESULTS requires an argument. Give it before the options" in message


def test_a_shell_completes_every_option(tmp_path, monkeypatch):
    """What a shell reads is written; its own startup files are left alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    script = tmp_path / "completion.bash"
    cli.main(["--install-completion", "--shell", "bash", "--output", str(script)])
    text = script.read_text()
    assert list(tmp_path.iterdir()) == [script]
    for words in ("darknet-lines", "--no-repeat-words", "--min-count", "--cancel"):
        assert words in text


def test_the_overview_is_quick_to_import():
    """Help must not wait for torch."""
    code = (
        "import sys; from snakecap.cli import main; main([]); print({'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_wrong_words_exit_2_and_bad_input_exits_1(tmp_path):
    done = shell("references", "--split", "test")
    assert done.returncode == 2 and "--pictures requires" in done.stderr
    gone = tmp_path / "gone.json"
    done = shell("references", "--pictures", str(gone), "--references", "x")
    assert done.returncode == 1
    assert str(gone) in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 75), ("SIGUSR1", 75)])
def test_a_signal_is_one_line_and_an_exit_code(monkeypatch, caplog, name, code):
    def interrupted(*_):
        signal.raise_signal(signal.Signals[name])

    monkeypatch.setattr(cli, "run", interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.main(["score"])
    assert caught.value.code == code
    assert caplog.messages == [f"ended by {name}"]  # nothing was saved


def test_a_signal_says_that_a_run_goes_on_where_something_is_kept(monkeypatch, caplog, tmp_path):
    from snakecap.provenance import outputs

    def interrupted(*_):
        with outputs.work_folder(tmp_path / "images.h5"):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(cli, "run", interrupted)
    with pytest.raises(SystemExit):
        cli.main(["resize"])
    assert caplog.messages == ["ended by SIGTERM: run again; what was saved is kept"]
    monkeypatch.setattr(cli, "run", lambda *_: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit):
        cli.main(["score"])
    assert caplog.messages[1:] == ["ended by SIGTERM"]


def test_signals_are_handled_before_anything_slow_is_imported():
    """Ctrl-C in the first tenths of a second was a traceback."""
    code = (
        "import sys, snakecap.cli; print({'cyclopts', 'pydantic', 'tqdm', 'yaml'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    """`snakecap info FILE | head -1` is quiet."""
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"settings": {str(i): i for i in range(30_000)}}))
    words = [sys.executable, "-m", "snakecap", "info", str(file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_results_become_neuraltalk2s_page(tmp_path, capsys):
    """Spec E4, E6 and E7 at the command line."""
    (tmp_path / "a b.jpg").write_bytes(b"pixels")
    results = [{"image_id": 7, "caption": "a cat", "file_name": "a b.jpg", "log_prob": -1.0}]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    folder = tmp_path / "vis"
    cli.main(["vis", str(path), str(folder), "--root", str(tmp_path)])
    assert json.loads((folder / "vis.json").read_text()) == [{"image_id": 7, "caption": "a cat"}]
    assert (folder / "imgs" / "img1.jpg").read_bytes() == b"pixels"
    other = tmp_path / "other"
    cli.main(["vis", str(path), str(other), "--no-images", "--file-names"])
    assert json.loads((other / "vis.json").read_text())[0]["file_name"] == "a b.jpg"
    assert not (other / "imgs").exists()
    cli.main(["vis", str(path), str(tmp_path / "none"), "--no-images", "--no-captions"])
    assert not (tmp_path / "none").exists()


def test_back_to_the_raw_json(tmp_path):
    """Spec P11 at the command line: validation pictures first."""
    from snakecap.formats.pictures import Collection, Picture, write

    pictures = [
        Picture(id=1, file="t.jpg", split="train", captions=("a dog",)),
        Picture(id=2, file="v.jpg", split="val", captions=("a cat",)),
    ]
    write(tmp_path / "pictures.json", Collection(tmp_path, tuple(pictures)))
    output = tmp_path / "coco_raw.json"
    cli.main(["raw", "--pictures", str(tmp_path / "pictures.json"), "--output", str(output)])
    rows = json.loads(output.read_text())
    assert rows[0] == {"file_path": "v.jpg", "id": 2, "captions": ["a cat"]}


def test_a_mistake_of_a_whole_row_is_said_plainly(capsys):
    """It has no place of its own, and pydantic's words are for programmers."""
    words = ["--pictures", "p", "--detections", "d", "--info", "i", "--rejected", "r"]
    with pytest.raises(SystemExit):
        cli.main(["detect", *words, "--part", "nothing"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("snakecap detect: error: settings: unknown detector 'nothing'; known: ")


def test_a_missing_file_is_named_first(capsys):
    words = ["--info", "i", "--scores", "s", "--detections", "d"]
    with pytest.raises(SystemExit):
        cli.main(["judge", "--pictures", "nowhere.json", *words])
    assert capsys.readouterr().err.endswith("error: nowhere.json: No such file or directory\n")
