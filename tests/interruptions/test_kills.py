"""Stages are killed at random moments and run again until done: the bits are those of one run."""

import signal

import pytest
from compare import check_parts, check_tidy, files
from jobs import MADE, moment, seeded

KILLS = 20  # of each stage
SERIES = 5  # at most, before a run that is left alone
SIGNALS = 3  # that end a run
SOON = 20.0  # seconds, on a machine that is busy with much else
STAGES = [stage for stage in MADE if stage not in ("annotations", "vocabulary", "references")]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_runs_end_with_the_bits_of_one(jobs, stage):
    rng = seeded()
    whole = jobs.make(stage)
    expected = files(whole)
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
            check_parts(out, expected)
            if rng.random() < 0.5:  # Snakemake deletes what a failed job made
                for name in MADE[stage]:
                    (out / name).unlink(missing_ok=True)
        answer = jobs.run(stage, out)
        assert answer["status"] == 0, jobs.log(out)
        assert files(out) == expected
        assert "waiting" not in jobs.log(out)
        check_tidy(out)
        if kills >= KILLS:
            break
    assert kills >= KILLS


@pytest.mark.parametrize("stage", STAGES)
def test_signals_end_a_job_soon_with_their_code(jobs, stage):
    rng = seeded()
    whole = jobs.make(stage)
    expected = files(whole)
    ended = 0
    for series in range(10 * SIGNALS):
        out = jobs.folder / f"{stage}_signal_{series}"
        name = rng.choice(["SIGTERM", "SIGUSR1"])
        after = rng.uniform(0, jobs.whole[stage]["seconds"])
        answer = jobs.run(stage, out, after=after, signal=int(signal.Signals[name]))
        assert answer["status"] in (0, 75), jobs.log(out)
        if answer["status"] == 75:
            ended += 1
            assert answer["seconds"] < after + SOON
            assert f"ended by {name}" in jobs.log(out)
            check_parts(out, expected)
            assert jobs.run(stage, out)["status"] == 0, jobs.log(out)
        assert files(out) == expected
        check_tidy(out)
        if ended == SIGNALS:
            break
    assert ended == SIGNALS
