"""Stages are killed at random moments and run again until done: the bits are those of one run."""

import json
import signal

import lmdb
import pytest
from jobs import MADE, moment, seeded

KILLS = 20  # of each stage
SERIES = 5  # at most, before a run that is left alone
SIGNALS = 3  # that end a run
SOON = 20.0  # seconds, on a machine that is busy with much else
STAGES = [stage for stage in MADE if stage not in ("annotations", "vocabulary", "references")]
VOLATILE = {"seconds", "throughput", "pictures_per_second", "speed", "peak_memory"}


def content(path, out):
    """What must be equal: bytes, but for times, absolute paths and LMDB's order of pages."""
    if path.suffix == ".lmdb":
        store = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
        with store, store.begin() as transaction:
            return dict(transaction.cursor())
    if path.suffix == ".json":
        value = json.loads(path.read_text().replace(str(out), "OUT"))
        if isinstance(value, dict):
            return {key: part for key, part in value.items() if key not in VOLATILE}
        return value
    return path.read_bytes()


def files(stage, out):
    """All files that are not hidden, by their names."""
    found = [path for path in out.rglob("*") if path.is_file() and not hidden(path, out)]
    return {str(path.relative_to(out)): content(path, out) for path in found}


def hidden(path, out):
    return any(part.startswith(".") for part in path.relative_to(out).parts)


def check_parts(stage, out, expected, live=("history.json", "detector_history.json")):
    """Whatever has its final name is final; a history grows while training."""
    for name, value in expected.items():
        path = out / name
        if path.exists() and name not in live:
            assert content(path, out) == value, f"{name} is not what it will be"
        elif path.exists():
            json.loads(path.read_text())


def check_tidy(stage, out):
    """Nothing is left but locks that nobody holds, and links to what was made."""
    rest = [path for path in out.rglob("*") if path.is_file() and hidden(path, out)]
    odd = [
        path
        for path in rest
        if not path.name.endswith((".lock", ".unpacked.json")) and ".made" not in str(path)
    ]
    assert not odd, odd
    assert not list(out.rglob("*.part*"))


@pytest.mark.parametrize("stage", STAGES)
def test_killed_runs_end_with_the_bits_of_one(jobs, stage):
    rng = seeded()
    whole = jobs.make(stage)
    expected = files(stage, whole)
    assert set(MADE[stage]) <= set(expected)
    kills = 0
    for series in range(10 * KILLS):
        out = jobs.folder / f"{stage}_{series}"
        for _ in range(rng.randint(1, SERIES)):
            answer = jobs.run(stage, out, **moment(rng, jobs.whole[stage]))
            assert answer["status"] in (0, -signal.SIGKILL), jobs.log(out)
            if answer["status"] == 0:
                break
            kills += 1
            check_parts(stage, out, expected)
            if rng.random() < 0.5:  # Snakemake deletes what a failed job made
                for name in MADE[stage]:
                    (out / name).unlink(missing_ok=True)
        answer = jobs.run(stage, out)
        assert answer["status"] == 0, jobs.log(out)
        assert files(stage, out) == expected
        assert "waiting" not in jobs.log(out)
        check_tidy(stage, out)
        if kills >= KILLS:
            break
    assert kills >= KILLS


@pytest.mark.parametrize("stage", STAGES)
def test_signals_end_a_job_soon_with_their_code(jobs, stage):
    rng = seeded()
    whole = jobs.make(stage)
    expected = files(stage, whole)
    ended = 0
    for series in range(10 * SIGNALS):
        out = jobs.folder / f"{stage}_signal_{series}"
        name = rng.choice(["SIGTERM", "SIGUSR1"])
        after = rng.uniform(0.05, jobs.whole[stage]["seconds"])
        answer = jobs.run(stage, out, after=after, signal=int(signal.Signals[name]))
        assert answer["status"] in (0, 75), jobs.log(out)
        if answer["status"] == 75:
            ended += 1
            assert answer["seconds"] < after + SOON
            assert f"ended by {name}: run again" in jobs.log(out)
            check_parts(stage, out, expected)
            assert jobs.run(stage, out)["status"] == 0, jobs.log(out)
        assert files(stage, out) == expected
        check_tidy(stage, out)
        if ended == SIGNALS:
            break
    assert ended == SIGNALS
