"""Only what a change invalidates runs again: the promise, edit by edit (DESIGN section 4)."""

import contextlib
import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CONFIG, ROOT, Checkout

NEURALTALK2 = {
    "train neuraltalk2 frozen",
    "train neuraltalk2 finetune",
    "caption neuraltalk2 frozen test",
    "caption neuraltalk2 finetune test",
    "score neuraltalk2 frozen test",
    "score neuraltalk2 finetune test",
}
SHOW_AND_TELL = {
    "train show_and_tell frozen",
    "caption show_and_tell frozen test",
    "score show_and_tell frozen test",
}
OBJ2TEXT = {
    "train obj2text train",
    "caption obj2text train test",
    "score obj2text train test",
}
DETECTIONS = {"detect yolov2", "judge yolov2", "layout seen"}
REPORT = {"report test"}
FIRST = "from __future__ import annotations\n"
LINE = (FIRST, FIRST + "\nA = 1\n")  # an edit of any module's code


def after_training(jobs):
    return {job for job in jobs if not job.startswith("train")}


@contextlib.contextmanager
def edited(checkout, name, old, new):
    """Replace text in one file of the checkout, for a while."""
    path = checkout.folder / name
    text = path.read_text()
    assert old in text, f"{old!r} is not in {name}"
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


@contextlib.contextmanager
def configured(checkout, change):
    """Change the configuration, for a while."""
    config = copy.deepcopy(CONFIG)
    change(config)
    checkout.write_config(config)
    try:
        yield
    finally:
        checkout.write_config(CONFIG)


def test_nothing_to_do_after_a_run(finished):
    assert finished.planned() == set()


# Settings.


def test_where_a_cluster_puts_jobs_redoes_nothing(finished):
    def change(config):
        config["gpus"] = 2
        config["threads"] = 3
        config["cluster"] = {"gpu_partition": "gpu", "account": "us", "max_minutes": 60}

    with configured(finished, change):
        assert finished.planned() == set()


def test_beam_width_redoes_captions_scores_and_report_of_its_system(finished):
    def change(config):
        config["systems"]["neuraltalk2"]["decoding"]["beam_width"] = 3

    with configured(finished, change):
        assert finished.planned() == after_training(NEURALTALK2) | REPORT


def test_min_count_redoes_the_vocabulary_onward_for_its_systems(finished):
    def change(config):
        config["vocabularies"]["neuraltalk2"]["min_count"] = 1

    with configured(finished, change):
        expected = (
            {"vocabulary neuraltalk2", "encode neuraltalk2"} | NEURALTALK2 | OBJ2TEXT | REPORT
        )
        assert finished.planned() == expected


def test_a_training_setting_redoes_its_stage_onward(finished):
    def change(config):
        config["systems"]["neuraltalk2"]["stages"][1]["epochs"] = 2

    with configured(finished, change):
        expected = {job for job in NEURALTALK2 if "finetune" in job} | REPORT
        assert finished.planned() == expected


@pytest.mark.parametrize("setting", [{"threshold": 0.5}, {"order": "score"}, {"limit": 3}])
def test_a_setting_of_a_layout_redoes_it_and_its_systems_not_the_detector(finished, setting):
    with configured(finished, lambda config: config["layouts"]["seen"].update(setting)):
        assert finished.planned() == {"layout seen"} | OBJ2TEXT | REPORT


def test_how_a_detector_is_asked_does_not_train_it_again(finished):
    with configured(finished, lambda config: config["detectors"]["yolov2"].update(overlap=0.6)):
        assert finished.planned() == DETECTIONS | OBJ2TEXT | REPORT


def test_how_many_pictures_a_detector_sees_at_once_changes_nothing_and_is_heeded(finished):
    with configured(finished, lambda config: config["detectors"]["yolov2"].update(batch_size=3)):
        assert finished.planned() == set()
        target = "results/shapes/detections/yolov2.json"
        shown = finished.snakemake("--dry-run", "--printshellcmds", "--forcerun", "detect", target)
        assert '"batch_size":3' in shown.stdout


def test_how_a_detector_is_trained_redoes_all_that_it_sees(finished):
    def change(config):
        config["detectors"]["yolov2"]["training"]["epochs"] = 2

    with configured(finished, change):
        expected = {"train_detector yolov2"} | DETECTIONS | OBJ2TEXT | REPORT
        assert finished.planned() == expected


def test_another_detector_is_another_branch(finished):
    def change(config):
        config["layouts"]["annotated"] = {"detector": "truth"}
        config["systems"]["gold"] = {
            **config["systems"]["obj2text"],
            "inputs": {"objects": {"part": "layout", "source": "annotated"}},
        }

    with configured(finished, change):
        branch = {"detect truth", "judge truth", "layout annotated"}
        jobs = {job.replace("obj2text", "gold") for job in OBJ2TEXT}
        assert finished.planned() == branch | jobs | REPORT


def test_an_equal_setting_written_differently_changes_nothing(finished):
    def change(config):
        config["systems"]["neuraltalk2"]["stages"][0]["epochs"] = 1.0
        config["resize"] = {"mode": "squash", "size": 32}

    with configured(finished, change):
        assert finished.planned() == set()


def frozen(config):
    return config["systems"]["show_and_tell"]["stages"][0]


def part(config):
    return config["systems"]["show_and_tell"]["decoder"]["options"]


@pytest.mark.parametrize(
    "change",
    [
        lambda config: frozen(config).update(checkpoint_every=5, log_every=2),
        lambda config: frozen(config).update(backbone_optimiser={"learning_rate": 0.5}),
        lambda config: config["detectors"]["yolov2"]["training"].update(log_every=3),
        lambda config: config["resize"].update(max_rejected=0.5),
        lambda config: config["systems"]["neuraltalk2"]["decoding"].update(voters=7, top_k=3),
        lambda config: config["systems"]["show_and_tell"]["decoding"].update(beam_width=7),
        lambda config: part(config).update(dropout="0e0", layers=1),
        lambda config: config["datasets"]["shapes"]["options"].update(quality=90, train="16"),
        lambda config: config["backbones"]["tiny"].update(batch_size=2),
        lambda config: config.update(downloads="elsewhere"),
    ],
)
def test_what_changes_no_result_redoes_nothing(finished, change):
    with configured(finished, change):
        assert finished.planned() == set()


def test_a_setting_that_nothing_uses_changes_nothing(finished):
    def change(config):
        config["backbones"]["unused"] = {"architecture": "vgg16"}
        config["datasets"]["unused"] = {"reader": "folder", "root": "photos"}
        config["vocabularies"]["unused"] = {"min_count": 7}

    with configured(finished, change):
        assert finished.planned() == set()


def test_a_new_system_runs_only_its_own_jobs(finished):
    def change(config):
        row = copy.deepcopy(config["systems"]["show_and_tell"])
        config["systems"]["another"] = row
        row["width"] = 8

    with configured(finished, change):
        expected = {job.replace("show_and_tell", "another") for job in SHOW_AND_TELL} | REPORT
        assert finished.planned() == expected


def test_an_appended_stage_keeps_the_earlier_ones(finished):
    def change(config):
        stages = config["systems"]["show_and_tell"]["stages"]
        stages.append({**stages[0], "name": "finetune", "finetune_from": "all"})

    with configured(finished, change):
        jobs = {job.replace("frozen", "finetune") for job in SHOW_AND_TELL}
        assert finished.planned() == jobs | REPORT


def test_a_split_to_caption_is_captioned_and_not_scored(finished):
    """OBJ2TEXT's test report without references (specification O15)."""

    def change(config):
        config["caption"] = ["val"]

    every = NEURALTALK2 | SHOW_AND_TELL | OBJ2TEXT
    captions = {job.replace(" test", " val") for job in every if job.startswith("caption")}
    with configured(finished, change):
        assert finished.planned() == captions


def test_a_removed_system_redoes_the_report_alone(finished):
    with configured(finished, lambda config: config["systems"].pop("show_and_tell")):
        assert finished.planned() == REPORT


def test_the_size_of_pictures_redoes_all_that_sees_them(finished):
    with configured(finished, lambda config: config["resize"].update(mode="crop")):
        planned = finished.planned()
        assert {"resize", "features tiny_pooled"} | NEURALTALK2 | SHOW_AND_TELL <= planned
        assert not {job for job in planned if job.startswith(("vocabulary", "annotations"))}


# Code.


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("src/snakecap/models/decoders/lstm.py", "class LSTM", "# A comment.\nclass LSTM"),
        ("src/snakecap/models/decoders/lstm.py", '"""Words from', '"""Sentences from'),
        ("src/snakecap/formats/pictures.py", "import annotations\n", "import annotations\n\n\n\n"),
        ("src/snakecap/log.py", "desc=title", 'desc=title + ""'),
        ("src/snakecap/steps/train.py", '"wrote %s"', '"the model is %s"'),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(finished, name, old, new):
    with edited(finished, name, old, new):
        assert finished.planned() == set()


def test_a_touched_file_changes_nothing(finished):
    for path in finished.folder.rglob("*.py"):
        path.touch()
    (finished.folder / "Snakefile").touch()
    assert finished.planned() == set()


def test_the_decoders_code_redoes_training_onward(finished):
    change = ("below = self.words(said)", "below = 1.0 * self.words(said)")
    with edited(finished, "src/snakecap/models/decoders/lstm.py", *change):
        # The attention decoder holds an LSTM too.
        assert finished.planned() == NEURALTALK2 | SHOW_AND_TELL | OBJ2TEXT | REPORT


@pytest.mark.parametrize("name", ["encoders/layout_lstm", "decoders/attention"])
def test_a_part_of_layout_systems_leaves_the_others_alone(finished, name):
    with edited(finished, f"src/snakecap/models/{name}.py", *LINE):
        assert finished.planned() == OBJ2TEXT | REPORT
    with edited(finished, "src/snakecap/models/encoders/layout_set.py", *LINE):
        assert finished.planned() == set()


def test_a_detectors_code_redoes_what_it_sees(finished):
    with edited(finished, "src/snakecap/detectors/yolov2.py", *LINE):
        expected = {"train_detector yolov2"} | DETECTIONS | OBJ2TEXT | REPORT
        assert finished.planned() == expected
    with edited(finished, "src/snakecap/detectors/yolox.py", *LINE):
        assert finished.planned() == set()


def test_an_encoder_that_one_system_uses_redoes_that_system_alone(finished):
    """A second encoder is added as a user would: one file and one line."""
    registry = finished.folder / "src/snakecap/registry.py"
    encoders = finished.folder / "src/snakecap/models/encoders"
    before = registry.read_text()
    shutil.copy(encoders / "cnn.py", encoders / "other.py")
    registry.write_text(
        before.replace(
            '"cnn": "snakecap.models.encoders.cnn:CNNEncoder",',
            '"cnn": "snakecap.models.encoders.cnn:CNNEncoder",\n'
            '    "other": "snakecap.models.encoders.other:CNNEncoder",',
        )
    )

    def change(config):
        config["systems"]["show_and_tell"]["encoders"][0]["part"] = "other"

    try:
        assert finished.planned() == set()  # a part that no system uses
        with configured(finished, change):
            assert finished.planned() == SHOW_AND_TELL | REPORT
    finally:
        registry.write_text(before)
        (encoders / "other.py").unlink()


def test_the_vocabularys_code_redoes_it_onward_but_not_the_pictures(finished):
    with edited(
        finished,
        "src/snakecap/steps/vocabulary.py",
        "@step\ndef vocabulary(",
        "A = 1\n\n\n@step\ndef vocabulary(",
    ):
        planned = finished.planned()
        assert {"vocabulary neuraltalk2", "vocabulary tutorial"} | NEURALTALK2 <= planned
        assert not planned & {"resize", "annotations", "features tiny_pooled"}


def test_one_tokenizers_code_redoes_its_vocabulary_alone(finished):
    with edited(
        finished, "src/snakecap/text/treebank.py", "def tokenize(", "A = 1\n\n\ndef tokenize("
    ):
        expected = {"vocabulary tutorial", "encode tutorial"} | SHOW_AND_TELL | REPORT
        assert finished.planned() == expected


def test_a_search_redoes_the_captions_of_the_systems_that_use_it(finished):
    with edited(
        finished, "src/snakecap/search/beam.py", "class Finished", "A = 1\n\n\nclass Finished"
    ):
        assert finished.planned() == after_training(NEURALTALK2 | OBJ2TEXT) | REPORT
    with edited(finished, "src/snakecap/search/sample.py", "def search(", "A = 1\n\n\ndef search("):
        assert finished.planned() == set()


def test_a_release_changes_nothing(finished):
    with edited(finished, "src/snakecap/__init__.py", '__version__ = "', '__version__ = "9'):
        assert finished.planned() == set()


def test_a_metric_redoes_scores_and_report(finished):
    with edited(
        finished, "src/snakecap/metrics/meteor.py", "class Meteor", "A = 1\n\n\nclass Meteor"
    ):
        every = NEURALTALK2 | SHOW_AND_TELL | OBJ2TEXT
        expected = {job for job in every if job.startswith("score")}
        assert finished.planned() == expected | REPORT


def test_a_rules_script_redoes_its_jobs(finished):
    every = NEURALTALK2 | SHOW_AND_TELL | OBJ2TEXT
    expected = {job for job in every if job.startswith("score")} | REPORT
    name, text = "workflow/scripts/score.py", "from snakecap.workflow.job import run\n"
    with edited(finished, name, text, text + "\n# A comment.\n"):
        assert finished.planned() == set()
    with edited(finished, name, text, text + "\nA = 1\n"):
        assert finished.planned() == expected


def test_the_report_redoes_itself(finished):
    with edited(
        finished,
        "src/snakecap/steps/report.py",
        "@step\ndef report(",
        "A = 1\n\n\n@step\ndef report(",
    ):
        assert finished.planned() == REPORT


def test_a_tool_of_development_redoes_nothing(finished):
    with edited(finished, "requirements.lock", "\nruff==", "\nruff==9"):
        assert finished.planned() == set()


def test_another_attribute_of_a_parts_module_is_another_part(finished):
    line = '"adam": "snakecap.training.optimisers:adam"'
    other = '"adam": "snakecap.training.optimisers:sgd"'
    with edited(finished, "src/snakecap/registry.py", line, other):
        planned = finished.planned()
        assert planned >= NEURALTALK2 | SHOW_AND_TELL | OBJ2TEXT
        assert not planned & {"resize", "features tiny_pooled", "annotations"}


def test_the_lock_file_redoes_everything(finished):
    with edited(finished, "requirements.lock", "torch==", "# changed\ntorch=="):
        planned = finished.planned()
        assert NEURALTALK2 | SHOW_AND_TELL | REPORT | {"annotations", "resize"} <= planned


# Files.


def test_changed_captions_are_read_again_and_an_untouched_set_is_not(finished, tmp_path):
    annotations = tmp_path / "mine_train.json"
    (tmp_path / "photo.jpg").write_bytes(b"")

    def caption(text):
        image = {"id": 1, "file_name": "photo.jpg"}
        content = {"images": [image], "annotations": [{"image_id": 1, "caption": text}]}
        annotations.write_text(json.dumps(content))

    def change(config):
        splits = {"splits": {"train": "train"}, "captions": "mine_{name}.json", "images": ""}
        row = {"reader": "coco", "root": str(tmp_path), "options": splits}
        config["datasets"]["mine"] = row

    target = "results/mine/pictures.json"
    caption("a dog")
    with configured(finished, change):
        finished.snakemake(target)
        annotations.touch()  # as a copy of the data set: other dates, the same contents
        assert finished.planned(target) == set()
        caption("a dog on a beach")
        assert finished.planned(target) == {"annotations"}
        assert finished.planned() == set()


def photo(checkout):
    return next((checkout.folder / "downloads").rglob("*.jpg"))


LOOKS = {"resize", "train_detector yolov2", "detect yolov2"}


def test_photos_are_compared_by_size_and_then_by_contents(finished):
    path = photo(finished)
    content, before = path.read_bytes(), path.stat()
    try:
        path.touch()  # as `cp -r` leaves it
        assert finished.planned() == set()
        path.write_bytes(content[:-2] + b"xx")  # replaced, by a file of the same size
        assert finished.planned() >= LOOKS
        with configured(finished, lambda config: config.update(photos="contents")):
            assert finished.planned() >= LOOKS
        path.unlink()
        assert finished.planned() >= LOOKS
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert finished.planned() == set()


def test_photos_that_a_job_writes_anew_are_resized_once(tmp_path):
    """They looked otherwise when the run was prepared than when they were resized."""
    checkout, target = Checkout(tmp_path), "results/shapes/images.h5"
    checkout.snakemake(target)
    with edited(checkout, "src/snakecap/data/scene.py", *LINE):
        assert checkout.planned(target) == {"annotations", "resize"}
        checkout.snakemake(target)
        assert checkout.planned(target) == set()


def test_a_photo_that_is_added_to_a_folder_is_read(finished, tmp_path):
    shutil.copy(photo(finished), tmp_path / "a.jpg")

    def change(config):
        config["datasets"]["mine"] = {"reader": "folder", "root": f"{tmp_path}/"}

    target = "results/mine/pictures.json"
    with configured(finished, change):
        finished.snakemake(target)
        (tmp_path / "notes.txt").touch()
        assert finished.planned(target) == set()
        shutil.copy(photo(finished), tmp_path / "b.jpg")
        assert finished.planned(target) == {"annotations"}


def test_a_root_that_moved_redoes_nothing_and_is_found(finished, tmp_path):
    root = tmp_path / "here"
    root.mkdir()
    shutil.copy(photo(finished), root / "a.jpg")

    def at(place):
        return lambda config: config["datasets"].update(
            mine={"reader": "folder", "root": str(place)}
        )

    target = "results/mine/images.h5"
    with configured(finished, at(root)):
        finished.snakemake(target)
    root.rename(tmp_path / "there")
    with configured(finished, at(f"{tmp_path}/there/")):
        assert finished.planned(target) == set()
        finished.snakemake(target, "--forcerun", "resize")
        assert finished.planned(target) == set()


def test_what_the_pages_advise_computes_again(finished):
    """Deleting images.h5 does nothing where nothing asks for it; this does."""
    page = (ROOT / "docs/caches.md").read_text()
    assert "`snakemake --forcerun resize`" in page
    assert finished.planned("--forcerun", "resize") >= {"resize", "features tiny_pooled"}


def test_weights_are_compared_by_contents(finished, tmp_path):
    """An older date hides nothing, and a newer one alone is no change."""
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"x" * 2_000_000)

    def change(config):
        config["backbones"]["tiny"]["weights"] = str(weights)

    target = "results/shapes/features/tiny_pooled.lmdb"
    recorded = finished.folder / ".snakemake/snakecap_contents.json"
    with configured(finished, change):
        assert finished.planned(target) == {"features tiny_pooled"}
        (row,) = [row for name, row in json.loads(recorded.read_text()).items() if "pth" in name]
        weights.touch()
        first = finished.snakemake("-n", "-p", target).stdout
        weights.write_bytes(b"y" * 2_000_000)
        os.utime(weights, ns=(1, 1))
        finished.planned(target)
        (other,) = [row for name, row in json.loads(recorded.read_text()).items() if "pth" in name]
        assert row[-1] != other[-1] and "features" in first


def test_weights_that_are_not_there_stop_the_plan(finished):
    """Snakemake would keep what other weights made, and train on from it."""
    with configured(finished, lambda config: config["backbones"]["tiny"].update(weights="no.pth")):
        done = finished.snakemake("--dry-run", check=False)
        assert done.returncode != 0
        assert "backbones.tiny.weights: no file no.pth" in done.stdout


def test_a_network_that_is_not_there_stops_the_plan(finished):
    """Also where only an option of a detector names it."""

    def change(config):
        row = {"part": "yolov2", "file": "README.md", "options": {"cfg": "no.cfg"}}
        config["detectors"]["yolov2"] = row

    (finished.folder / "README.md").touch()
    with configured(finished, change):
        done = finished.snakemake("--dry-run", check=False)
        assert done.returncode != 0
        assert "detectors.yolov2.options: there is no file no.cfg" in done.stdout


def test_unlocking_needs_one_word(finished):
    """After a controller that died on another machine; cores need not be said."""
    command = [sys.executable, "-m", "snakemake", "--unlock"]
    subprocess.run(command, cwd=finished.folder, check=True, capture_output=True)


def test_a_deleted_result_is_made_again(finished):
    """Of intermediate files, when somebody asks for them: that is Snakemake's rule."""
    folder = finished.folder / "results/shapes"
    page = folder / "report/test/index.html"
    scores = folder / "neuraltalk2/frozen/scores/test.json"
    for path, expected in ((page, REPORT), (scores, {"score neuraltalk2 frozen test"})):
        kept = path.rename(path.with_suffix(".kept"))
        try:
            assert finished.planned(str(path.relative_to(finished.folder))) == expected
        finally:
            kept.rename(path)


def test_a_fresh_clone_over_existing_results_has_nothing_to_do(finished, tmp_path):
    """Its files are newer than every result, and its folder has another name."""
    clone = Checkout(tmp_path)
    shutil.copytree(finished.folder / "results", tmp_path / "results", copy_function=shutil.copy2)
    assert clone.planned() == set()
    metadata = finished.folder / ".snakemake/metadata"
    shutil.copytree(metadata, tmp_path / ".snakemake/metadata", dirs_exist_ok=True)
    assert clone.planned() == set()
    assert clone.planned("--directory", str(finished.folder)) == set()


def test_a_copy_with_new_times_has_nothing_to_do(finished, tmp_path):
    """``cp -r``; files that were changed are still noticed."""
    clone = Checkout(tmp_path)
    for name in ("results", "downloads"):
        shutil.copytree(finished.folder / name, tmp_path / name, copy_function=shutil.copy)
    metadata = finished.folder / ".snakemake/metadata"
    shutil.copytree(metadata, tmp_path / ".snakemake/metadata")
    assert clone.planned() == set()
    captions = tmp_path / "results/shapes/show_and_tell/frozen/captions/test.json"
    captions.write_text(captions.read_text().replace("a", "b", 1))
    assert clone.planned() == {"score show_and_tell frozen test"} | REPORT


def test_from_elsewhere_the_base_configuration_is_the_checkouts(finished, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("threads: 2\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(finished.folder / "Snakefile"),
         "--cores", "1", "--dry-run", "--configfile", str(recipe)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train_detector" in done.stdout + done.stderr


def test_deleting_all_output_deletes_the_records_too(finished, tmp_path):
    clone = Checkout(tmp_path)
    shutil.copytree(finished.folder / "results", tmp_path / "results", copy_function=shutil.copy2)
    clone.snakemake("--delete-all-output", "--dry-run")
    assert list((tmp_path / "results/shapes").rglob("*.provenance.json"))
    clone.snakemake("--delete-all-output")
    assert not list((tmp_path / "results/shapes").rglob("*.provenance.json"))


def test_a_system_named_like_a_folder_of_results_is_refused(finished):
    def change(config):
        config["systems"]["detectors"] = config["systems"].pop("obj2text")

    with configured(finished, change):
        done = finished.snakemake("--dry-run", check=False)
        assert done.returncode != 0
        assert "systems.detectors: results/shapes/detectors holds other results" in done.stdout


def test_code_that_changes_while_a_job_waits_stops_it(finished):
    """Otherwise the result of one code would be recorded under the digest of another."""
    output = finished.snakemake("--dry-run", "--printshellcmds", "--forcerun", "references").stdout
    command = next(line for line in output.splitlines() if "scripts/references.py" in line)
    command = command.partition("Shell command: ")[2] or command.strip()
    with edited(
        finished,
        "src/snakecap/steps/references.py",
        "@step\ndef references(",
        "A = 1\n\n\n@step\ndef references(",
    ):
        ready = f"set -o pipefail; export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH=src"
        done = subprocess.run(
            f"{ready}; {command}",
            shell=True,
            executable="/bin/bash",
            cwd=finished.folder,
            capture_output=True,
            text=True,
        )
    assert done.returncode != 0
    assert "changed after snakemake started" in done.stdout + done.stderr
