"""Two working copies and one shared folder: the second computes none of the shared stages."""

import copy

import pytest
from checkout import CONFIG, Checkout

from snakecap.provenance import sidecar

TARGETS = ("features/tiny_pooled.lmdb", "detections/truth.json")
SHARED = {
    "images.h5": "resize",
    "features/tiny_pooled.lmdb": "features",
    "detections/truth.json": "detect",
    "detections/truth_info.json": "detect",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two copies of the workflow, run one after the other; the second on several processes."""
    base = tmp_path_factory.mktemp("pair")
    config = copy.deepcopy(CONFIG)
    config["cache"] = str(base / "shared")
    config["layouts"]["seen"]["detector"] = "truth"  # needs no training
    copies = []
    for name, gpus in (("one", 0), ("two", 2)):
        (base / name).mkdir()
        checkout = Checkout(base / name)
        checkout.write_config({**config, "gpus": gpus, "device": "cpu"})
        checkout.snakemake(*(f"results/shapes/{target}" for target in TARGETS))
        copies.append(checkout)
    return copies


def test_the_second_links_all_that_the_first_made(pair):
    one, two = (checkout.folder / "results/shapes" for checkout in pair)
    for name, stage in SHARED.items():
        first, second = sidecar.read(one / name), sidecar.read(two / name)
        assert (one / name).resolve() == (two / name).resolve()
        assert first["started"] == second["started"], f"{stage} ran again"
        assert first["shared"] == second["shared"] and f"/shared/{stage}/" in first["shared"]
        said = f"taken from the shared folder, not made again: {second['shared']}"
        logs = list((two.parent / "logs/shapes").glob(f"{stage}*.log"))
        assert any(said in log.read_text() for log in logs)
    left = [path.name for path in two.rglob(".work/*") if path.suffix not in (".lock", ".made")]
    assert not left, "something was begun"


def test_links_are_up_to_date_for_snakemake(pair):
    for checkout in pair:
        targets = [f"results/shapes/{target}" for target in TARGETS]
        assert checkout.planned(*targets) == set()


def test_a_removed_folder_makes_them_again(pair):
    """Links that lead nowhere are no results."""
    entry = sidecar.read(pair[1].folder / "results/shapes/detections/truth.json")["shared"]
    from pathlib import Path

    kept = Path(entry).rename(f"{entry}.kept")
    try:
        assert pair[1].planned("results/shapes/detections/truth.json") == {"detect truth"}
    finally:
        kept.rename(entry)
