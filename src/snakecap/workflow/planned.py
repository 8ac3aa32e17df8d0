"""The settings of every job behind a report, for comparison with what results record."""

from __future__ import annotations

from collections.abc import Iterator

from snakecap.provenance import code
from snakecap.workflow.plan import Plan


def words(plan: Plan, split: str) -> list[str]:
    """``FILE=DIGEST`` of the first output of each job, relative to the data set's results."""
    jobs = (*_data(plan), *_objects(plan), *_systems(plan, split))
    return [f"{file}={code.settings_digest(settings)}" for file, settings in jobs]


def _data(plan: Plan) -> Iterator[tuple[str, str]]:
    rows = plan.settings.datasets
    for name in plan.dataset.split("+"):
        # The stage's own digest also follows the files; here it is about settings alone.
        settings = code.canonical(rows[name].model_dump(mode="json"))
        yield f"../{name}/pictures.json", settings
    if plan.settings.pixels:
        yield "images.h5", plan.job("resize", plan.settings.resize)["settings"]
    for name in dict.fromkeys(system.vocabulary for system in plan.systems.values()):
        yield f"vocabularies/{name}.json", plan.vocabulary(name)["settings"]
        yield f"captions/{name}.h5", plan.encode(name)["settings"]
    for name in plan.features:
        yield f"features/{name}.lmdb", plan.features_job(name)["settings"]


def _objects(plan: Plan) -> Iterator[tuple[str, str]]:
    for name in plan.detectors:
        if plan.settings.detectors[name].training:
            model = f"detectors/{name}/model.safetensors"
            yield model, plan.train_detector(name)["settings"]
        yield f"detections/{name}.json", plan.detect(name)["settings"]
    for name in plan.layouts:
        yield f"layouts/{name}.h5", plan.layout(name)["settings"]


def _systems(plan: Plan, split: str) -> Iterator[tuple[str, str]]:
    for name, system in plan.systems.items():
        for stage in system.stages:
            model = f"{name}/{stage.name}/model.safetensors"
            yield model, plan.train(name, stage.name)["settings"]
    for name, last in plan.evaluated():
        yield f"{name}/{last}/captions/{split}.json", plan.caption(name)["settings"]
        yield f"{name}/{last}/scores/{split}.json", plan.score()["settings"]
