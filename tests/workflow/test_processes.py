"""A rule that is given several GPUs runs in as many processes; which must not rerun anything."""

import copy
import json

from checkout import CONFIG

FEATURES = "results/shapes/features/tiny_pooled.lmdb"
TRAINED = "results/shapes/neuraltalk2/frozen/history.json"


def test_two_gpus_are_two_processes(finished):
    plain = json.loads((finished.folder / TRAINED).read_text())
    config = {**copy.deepcopy(CONFIG), "gpus": 2, "device": "cpu"}
    finished.write_config(config)
    try:
        assert not finished.planned()
        finished.snakemake(TRAINED, "--forcerun", "features")
        log = (finished.folder / "results/logs/shapes/features_tiny_pooled.log").read_text()
        shared = json.loads((finished.folder / TRAINED).read_text())
        assert shared["processes"] == 2 and shared["iteration"] == plain["iteration"]
        assert "features" in log
        config["device"] = "auto"
        finished.write_config(config)
        failed = finished.snakemake(TRAINED, "--forcerun", "features", check=False)
        assert (
            failed.returncode and "this job asked for a GPU, but torch sees none" in failed.stdout
        )
    finally:
        finished.write_config(CONFIG)
        finished.snakemake()
