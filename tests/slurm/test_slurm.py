"""The workflow through sbatch, and what happens to jobs on a cluster that people share."""

import contextlib
import copy
import json
import os
import re
import signal
import uuid

import pytest
from checkout import CONFIG
from slurm_run import (
    LONG,
    MODEL,
    PAIR,
    Run,
    environment,
    listed,
    processes,
    slurm,
    stopped,
    wait_for,
)

pytestmark = pytest.mark.timeout(1500)  # other people's work beside it; alone, a third
QUEUE = ("squeue", "--states=all", "--noheader")


def test_the_whole_workflow_goes_through_sbatch(tmp_path):
    run = Run(tmp_path, CONFIG)
    code, output = run.submit()
    assert code == 0, output[-5000:]
    table = run.folder / "results/shapes/report/test/table.md"
    assert all(system in table.read_text() for system in CONFIG["systems"])
    rules = {re.match(r"rule_([a-z_]+?)(_wildcards|$)", row[1])[1] for row in run.jobs("%k")}
    everything = set(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE)) - {"all"}
    assert everything - rules == {"references"}, "all but the light ones were submitted"
    assert {row[1] for row in run.jobs("%T")} == {"COMPLETED"}
    assert run.planned() == set(), "a run without the cluster takes all of it as it is"


def test_each_attempt_is_a_job_with_more_memory(tmp_path):
    config = {**CONFIG, "datasets": {"shapes": {"reader": "folder", "root": str(tmp_path / "no")}}}
    (tmp_path / "no").mkdir()  # without a picture
    run = Run(tmp_path, config)
    code, output = run.submit("--retries", "2", "--until", "annotations")
    assert code == 1, output
    jobs = run.jobs("%m", "%T", "%k")
    assert [row[2] for row in jobs] == ["FAILED"] * 3, jobs
    first, *more = [int(row[1].rstrip("M")) for row in jobs]
    assert more == [2 * first, 3 * first]
    assert "/no" in output, "the job's own message is shown"


@pytest.mark.parametrize("nodes", [["one"], ["one", "two"]], ids=len)
def test_a_job_at_its_time_limit_saves_and_the_next_attempt_goes_on(working, nodes):
    several = {"gpus": 1, "device": "cpu", "cluster": {**PAIR, "warning": 60}}
    run = working(
        lambda config: config.update(several if nodes[1:] else {"cluster": {"warning": 60}})
    )
    controller = run.start(MODEL)
    pid = run.caught()
    everyone = processes("train.py", run.folder)
    assert sorted(environment(one)["SLURMD_NODENAME"] for one in everyone) == nodes
    before = run.checkpoints()
    [[number, _]] = run.jobs("%T")
    slurm("scontrol", "update", f"JobId={number}", f"TimeLimit={run.minutes(number) + 1}")
    wait_for(lambda: not stopped(pid, until=signal.SIGUSR1), message="SLURM did not warn the job")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    assert controller.wait(LONG) == 0, controller.log.read_text()
    assert [row[1] for row in run.jobs("%T")] == ["FAILED", "COMPLETED"]
    [first] = run.failures("rule_train")
    second = (run.folder / "results/logs/shapes/train_obj2text_train.log").read_text()
    assert first.count("ended by SIGUSR1: run again") == 1 and "Traceback" not in first, first
    resumed = int(re.search(r"continuing from checkpoint-(\d+)", second)[1])
    saved = max(int(re.search(r"checkpoint-(\d+)", path.name)[1]) for path in before)
    assert resumed > saved, f"what was done when the signal came was not saved: {first}"


@pytest.mark.parametrize(("partition", "node"), [("cancelled", "three"), ("requeued", "four")])
def test_a_preempted_job_saves_and_goes_on(working, partition, node):
    """Somebody else's job with a higher priority takes the node, and gives it back."""
    run = working(lambda config: config.update({"cluster": {"partition": partition}}))
    controller = run.start(MODEL)
    pid = run.caught()
    before = run.checkpoints()
    urgent = ("--partition=urgent", f"--nodelist={node}", "--exclusive", "--output=/dev/null")
    taking = slurm("sbatch", "--parsable", *urgent, "--wrap", "sleep 5").strip()
    wait_for(lambda: not stopped(pid, until=signal.SIGTERM), message="SLURM did not end the job")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    assert controller.wait(LONG) == 0, controller.log.read_text()
    assert slurm("squeue", "--states=all", "-h", "-j", taking, "-o", "%T").strip() == "COMPLETED"
    # With a time of grace the job ends by itself, and the next attempt is a job of its own.
    ends = {"cancelled": ["FAILED", "COMPLETED"], "requeued": ["COMPLETED"]}
    assert [row[1] for row in run.jobs("%T")] == ends[partition]
    log = (run.folder / "results/logs/shapes/train_obj2text_train.log").read_text()
    resumed = int(re.search(r"continuing from checkpoint-(\d+)", log)[1])
    saved = max(int(re.search(r"checkpoint-(\d+)", path.name)[1]) for path in before)
    assert resumed > saved, f"what was done when the signal came was not saved: {log}"


def test_two_nodes_compute_what_one_process_does(tmp_path):
    history = "results/shapes/neuraltalk2/frozen/history.json"
    features = "results/shapes/features/tiny_pooled.lmdb"
    config = {**copy.deepcopy(CONFIG), "compare": ["neuraltalk2"], "gpus": 1, "device": "cpu"}
    system = config["systems"]["neuraltalk2"]
    system["decoder"]["options"]["dropout"] = 0.0  # each process draws its own
    system["stages"][0] |= {"epochs": 6, "log_every": 1}
    run = Run(tmp_path, {**config, "cluster": PAIR})
    code, output = run.submit(history)
    assert code == 0, output[-5000:]
    asked = {row[1].split("_")[1]: row[2:] for row in run.jobs("%k", "%D", "%b", "%N")}
    assert asked["train"] == asked["features"] == ["2", "gres:gpu:fake:1", "one,two"]
    assert asked["encode"][0] == "1"
    log = (run.folder / "results/logs/shapes/train_neuraltalk2_frozen.log").read_text()
    assert log.count("started") == log.count("wrote") == 1, "the leader alone"
    shared = json.loads((run.folder / history).read_text())
    made = (run.folder / features).stat().st_mtime_ns
    assert run.planned(history) == set(), "where it ran is no reason to run it again"
    run.snakemake(history, "--forcerun", "features")  # without SLURM there is one node
    plain = json.loads((run.folder / history).read_text())
    assert (run.folder / features).stat().st_mtime_ns > made
    assert shared["processes"] == 2 and "processes" not in plain
    for name in ("loss_history", "val_loss_history"):
        # tests/unit/distributed/test_process_group.py: sums are taken in another order
        assert shared[name] == pytest.approx(plain[name], rel=2e-4, abs=2e-5)


def test_a_cancelled_job_is_a_failed_one_and_a_rerun_goes_on(working):
    run = working()
    controller = run.start(MODEL, "--retries", "0")
    run.caught()
    [[number, _]] = run.jobs("%T")
    slurm("scancel", number)
    assert controller.wait(LONG) == 1
    assert "CANCELLED" in controller.log.read_text()
    assert not (run.folder / MODEL).exists() and not processes("train.py", run.folder)
    code, output = run.submit(MODEL)
    assert code == 0, output[-5000:]
    log = (run.folder / "results/logs/shapes/train_obj2text_train.log").read_text()
    assert "continuing from checkpoint-" in log


def test_after_the_controller_died_its_job_is_waited_for(working):
    """No second writer, nothing lost: what the orphan trains is what the next run takes."""
    run = working()
    first = run.start(MODEL)
    orphan = run.caught()
    first.kill()
    first.wait()
    second = run.start(MODEL)
    log = run.folder / "results/logs/shapes/train_obj2text_train.log"
    wait_for(lambda: len(processes("train.py", run.folder)) == 2, message="no second job")
    wait_for(lambda: "being made by another process" in log.read_text(), message="no waiting")
    held = run.checkpoints()
    os.kill(orphan, signal.SIGCONT)
    wait_for(lambda: run.checkpoints() != held or not held, message="the orphan did not go on")
    assert second.wait(LONG) == 0, second.log.read_text()
    assert (run.folder / MODEL).is_file()
    assert "continuing from" not in log.read_text(), "the second did not train"
    assert [row[1] for row in run.jobs("%T")] == ["COMPLETED", "COMPLETED"]


def test_two_gpu_jobs_have_a_device_each_and_can_be_cancelled_together(working):
    def change(config):
        config["seeds"] = [1, 2]
        config["gpus"] = 1
        config["device"] = "cpu"  # the lab's GPUs are none
        config["cluster"] = {"partition": "cpu", "gpu_partition": "gpu", "gpu_model": "fake"}

    run = working(change)
    models = [MODEL.replace("obj2text", f"obj2text_seed{seed}") for seed in (1, 2)]
    controller = run.start(*models)
    found = [run.caught()]
    found.append(run.caught(but=found))
    devices = [environment(pid).get("CUDA_VISIBLE_DEVICES") for pid in found]
    assert sorted(devices) == ["0", "1"]
    assert [row[1:] for row in run.jobs("%P", "%T")] == [["gpu", "RUNNING"]] * 2
    os.kill(controller.pid, signal.SIGKILL)
    decoys = [decoy(run.folder), decoy(run.folder.parent)]
    shown = listed(run.folder)
    assert len(shown.splitlines()) == 2
    assert all(re.search(rf"RUNNING .* train .*seed{seed}", shown) for seed in (1, 2)), shown
    listed(run.folder, "--cancel")
    left = dict(line.split() for line in slurm(*QUEUE, "--format=%i %T").splitlines())
    numbers = [row[0] for row in run.jobs("%k") if row[1].startswith("rule_")]
    assert [left[number] for number in numbers] == ["CANCELLED"] * 2
    assert not processes("train.py", run.folder)
    assert all(left[number] in ("PENDING", "RUNNING") for number in decoys), "not Snakemake's"
    slurm("scancel", *decoys)


def decoy(folder, *words):
    """A job that Snakemake did not submit, in the same folder or in another one."""
    same = ("--mem=10", "--output=/dev/null", f"--chdir={folder}", "--wrap=sleep 600")
    return slurm("sbatch", "--parsable", *words, *same).strip()


def test_a_job_that_would_wait_for_ever_comes_with_advice(tmp_path):
    name = ("--job-name", str(uuid.uuid4()), "--comment", "rule_train_wildcards_a_b_c")
    number = decoy(tmp_path, *name, "--partition=short", "--time=5")
    wait_for(lambda: "PartitionTimeLimit" in slurm("squeue", "-h", "-j", number, "-o", "%r"))
    shown = listed(tmp_path)
    assert "PENDING  0:00  (PartitionTimeLimit)  train a_b_c" in shown
    assert "set cluster.max_minutes" in shown
    listed(tmp_path, "--cancel")
    assert "no jobs of" in listed(tmp_path)
