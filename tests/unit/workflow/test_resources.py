"""What jobs ask a cluster for grows with the data, the attempt and the work, up to the limits."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from snakecap.config import settings
from snakecap.config.cluster import Cluster
from snakecap.config.training import Stage
from snakecap.formats import pictures
from snakecap.workflow import resources
from snakecap.workflow.plan import Plan
from snakecap.workflow.steps import ON_PIXELS
from snakecap.workflow.steps import RULES as STEPS

ROOT = Path(__file__).parents[3]
FILES = (ROOT / "workflow" / "rules").glob("*.smk")
COUNT = st.integers(0, 10**6)
NEEDS = {name: step.need for name, step in STEPS.items()} | {"train on pixels": ON_PIXELS}
ROW = st.sampled_from(list(NEEDS.values()))


def test_every_rule_says_what_it_needs():
    text = "\n".join(path.read_text() for path in FILES)
    defined = re.findall(r"^rule (\w+):", text, re.MULTILINE)
    asked = re.findall(r'\*\*needs\("(\w+)"', text)
    assert sorted(asked) == sorted(defined)
    assert {*asked, "train on pixels"} == NEEDS.keys()


def test_the_page_shows_the_table():
    page = (ROOT / "docs" / "slurm.md").read_text()
    rows = re.findall(r"^\| ([a-z_ ]+) \|" + r" ([\d.]+) \|" * 6 + "$", page, re.MULTILINE)
    shown = {name: tuple(map(float, numbers)) for name, *numbers in rows}
    assert shown == {name: tuple(map(float, need)) for name, need in NEEDS.items()}


@given(ROW, COUNT, COUNT, COUNT, st.integers(1, 9))
def test_memory_is_linear_in_size_and_attempt(row, few, more, captions, attempt):
    def ask(number, nth=attempt):
        return resources.memory(
            row, pictures=number, captions=captions, attempt=nth, cluster=Cluster()
        )

    assert ask(few, 1) >= row.memory
    assert ask(few) <= ask(few + more)
    assert ask(few) == attempt * ask(few, 1)
    step = row.per_picture * more / 1000
    assert ask(few + more, 1) - ask(few, 1) == pytest.approx(step, abs=1)


@given(ROW, COUNT, st.floats(0.01, 100), st.integers(0, 8), st.integers(1, 9))
def test_minutes_grow_with_the_work_and_shrink_with_gpus(row, number, passes, gpus, attempt):
    unlimited = Cluster(max_minutes=10**12)

    def ask(cluster=unlimited, **other):
        given = {"pictures": number, "passes": passes, "gpus": gpus, "attempt": attempt, **other}
        return resources.minutes(row, **given, cluster=cluster)

    assert ask() >= row.minutes * attempt
    assert ask(passes=passes * 2) >= ask()
    assert ask(gpus=gpus + 1) <= ask()
    assert ask(attempt=attempt + 1) > ask()
    assert ask(Cluster(max_minutes=7)) == min(7, ask())


def test_no_job_asks_for_more_than_the_largest_node():
    asked = resources.memory(
        NEEDS["train"],
        pictures=10**6,
        captions=10**7,
        attempt=5,
        cluster=Cluster(max_memory=64_000),
    )
    assert asked == 64_000


def test_processes_of_a_node_share_what_it_has():
    def ask(processes, **limits):
        size = {"pictures": 10**5, "captions": 5 * 10**5, "attempt": 1}
        return resources.memory(
            NEEDS["train"], **size, cluster=Cluster(**limits), processes=processes
        )

    assert ask(4) == 4 * ask(1)
    assert ask(4, max_memory=3 * ask(1)) == 3 * ask(1)


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [
        (None, 1.0),
        ({"epochs": 2.5}, 2.5),
        ({"epochs": None, "max_iterations": 100, "batch_size": 50}, 5.0),
        ({"epochs": 2, "max_iterations": 100, "batch_size": 50}, 2.0),
        ({"epochs": 20, "max_iterations": 100, "batch_size": 50}, 5.0),
    ],
)
def test_passes_over_a_thousand_pictures(stage, wanted):
    row = None if stage is None else Stage(name="one", **stage)
    assert resources.passes(row, 1000) == wanted


def test_an_empty_data_set_needs_something():
    assert resources.passes(Stage(name="one", epochs=None, max_iterations=3), 0) > 0


def test_names_of_the_cluster_go_where_the_plugin_looks():
    cluster = Cluster(partition="cpu", account="us", gpu_model="a100", warning=60)
    assert resources.placement(cluster, 0) == {
        "slurm_partition": "cpu",
        "slurm_account": "us",
        "slurm_extra": "--signal=USR1@60",
    }
    assert resources.placement(cluster, 2)["slurm_partition"] == "cpu"
    assert resources.placement(cluster, 2)["gpu_model"] == "a100"
    cluster = Cluster(partition="cpu", gpu_partition="gpu", warning=0)
    assert resources.placement(cluster, 1) == {"slurm_partition": "gpu"}
    assert resources.placement(Cluster(warning=0), 1) == {}


def test_a_job_of_several_nodes_asks_for_them_in_words_that_agree():
    """The plugin derives tasks by GPU from `tasks` unless it is told of none."""
    found = resources.placement(Cluster(nodes=3, gpu_model="a100", warning=60), 4, 3)
    extra = "--signal=USR1@60 --ntasks-per-node=1 --gpus-per-node=a100:4"
    asked = {"mpi": "srun", "nodes": 3, "tasks": 3, "tasks_per_gpu": 0, "slurm_extra": extra}
    assert found == {"gpu_model": "a100", **asked}
    plain = resources.placement(Cluster(nodes=3, warning=0), 4, 3)
    assert plain["slurm_extra"] == "--ntasks-per-node=1 --gpus-per-node=4"
    assert resources.placement(Cluster(nodes=3, warning=0), 4) == {}


@pytest.mark.parametrize(
    ("gpus", "nodes", "wanted"),
    [(0, 1, ""), (1, 1, ""), (4, 1, "--processes 4"), (1, 2, "--processes 1 --nodes 2")],
)
def test_how_a_script_starts(gpus, nodes, wanted):
    launcher = f" -m snakecap.distributed.torchrun {wanted}" if wanted else ""
    assert resources.start(gpus, nodes) == f"python{launcher}"


# Sizes of data sets.


def checked(**changed):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    return settings.read({**raw, **changed})


def test_a_generated_data_set_is_as_large_as_it_will_be(tmp_path):
    found = resources.size(checked(pathvars={"results": str(tmp_path), "logs": "x"}), "shapes")
    assert found == (6450, 5 * 6450)


def test_an_unread_data_set_is_taken_for_the_largest(tmp_path):
    rows = {
        "shapes": {"reader": "shapes"},
        "mine": {"reader": "folder", "root": str(tmp_path)},
    }
    config = checked(pathvars={"results": str(tmp_path), "logs": "x"}, datasets=rows)
    assert resources.size(config, "mine") == resources.COCO
    both = resources.size(config, "mine+shapes")
    assert both.pictures == resources.COCO.pictures + resources.size(config, "shapes").pictures


def test_a_data_set_that_was_read_is_counted(tmp_path):
    path = tmp_path / "results" / "shapes" / "pictures.json"
    some = [
        pictures.Picture(id=n, file=f"{n}.jpg", split="train", captions=("a",) * n)
        for n in range(4)
    ]
    pictures.write(path, pictures.Collection(tmp_path, tuple(some)), code="x")
    config = checked(pathvars={"results": str(tmp_path / "results"), "logs": "x"})
    assert resources.size(config, "shapes") == (4, 6)
    asking = resources.Requests(Plan(config))
    with_six = asking.memory("judge", 1, dataset="shapes")
    pictures.write(path, pictures.Collection(tmp_path, tuple(some[:1])), code="x")
    assert resources.size(config, "shapes") == (1, 0), "read anew when the file changed"
    assert asking.memory("judge", 1, dataset="shapes") <= with_six


def test_a_file_without_counts_is_no_error(tmp_path):
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "pictures.json").write_text('{"root": "/", "pictures": []}')
    config = checked(pathvars={"results": str(tmp_path), "logs": "x"})
    assert resources.size(config, "shapes") == resources.COCO


def test_training_on_pixels_asks_for_more(tmp_path):
    asking = resources.Requests(Plan(checked(pathvars={"results": str(tmp_path), "logs": "x"})))
    asked = {
        stage: asking.memory("train", 1, dataset="shapes", system="neuraltalk2", stage=stage)
        for stage in ("frozen", "finetune")
    }
    assert asked["finetune"] > asked["frozen"]
    minutes = [
        asking.minutes("train", 1, gpus, dataset="shapes", system="neuraltalk2", stage="finetune")
        for gpus in (0, 1, 4)
    ]
    assert minutes == sorted(minutes, reverse=True)


def test_a_detectors_training_asks_for_all_its_epochs(tmp_path):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())["detectors"]["yolov2"]
    asked = []
    for epochs in (10, 20):
        row = {**raw, "training": {**raw["training"], "epochs": epochs}}
        config = checked(
            pathvars={"results": str(tmp_path), "logs": "x"},
            detectors={"yolov2": row},
            cluster={"max_minutes": 10**9},
        )
        asking = resources.Requests(Plan(config))
        asked.append(asking.minutes("train_detector", 1, 0, dataset="shapes", detector="yolov2"))
    start, rate = (getattr(NEEDS["train_detector"], name) for name in ("minutes", "rate"))
    wanted = [start + 6450 * epochs / rate / 60 for epochs in (10, 20)]
    assert asked == pytest.approx(wanted, abs=1)


def test_mirrored_features_ask_for_twice_the_time(tmp_path):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    asked = []
    for flip in (False, True):
        inputs = {"picture": {"part": "features", "source": "tiny", "options": {"flip": flip}}}
        systems = {"one": {**raw["systems"]["neuraltalk2"], "inputs": inputs}}
        config = checked(
            pathvars={"results": str(tmp_path), "logs": "x"}, compare=["one"], systems=systems
        )
        asking = resources.Requests(Plan(config))
        (name,) = asking.plan.features
        asked.append(asking.minutes("features", 1, 0, dataset="shapes", features=name))
    need = NEEDS["features"]
    once = 6450 / need.rate / 60
    assert asked == pytest.approx([need.minutes + once, need.minutes + 2 * once], abs=1)
