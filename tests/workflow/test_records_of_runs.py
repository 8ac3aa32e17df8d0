"""What results record, and what the report says of those that are not what they were."""

import copy
import csv
import json
import os
import shutil

import pytest
from checkout import CONFIG, Checkout

from snakecap.provenance import sidecar

IN_TEXT = {".json", ".tsv", ".csv", ".md", ".svg", ".html"}
OURS = IN_TEXT | {".h5", ".lmdb", ".npy", ".png", ".safetensors"}


def results(checkout):
    folder = checkout.folder / "results/shapes"
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not path.name.endswith(sidecar.ENDING):
            yield path


def test_every_result_has_a_record(finished):
    found = list(results(finished))
    assert {path.suffix for path in found} == OURS
    for path in found:
        record = sidecar.read(path)
        assert record is not None, path
        assert record["configuration"] and record["lock"] and "=" in record["code"], path
        assert record["inputs"] or record["step"] == "annotations", path


def test_a_result_is_made_of_recorded_results(finished):
    """Every input within the results has the checksum that its own record has."""
    for path in results(finished):
        for row in sidecar.read(path)["inputs"]:
            source = sidecar.resolve(row["path"], path.parent)
            if row["argument"] != "photos":
                assert sidecar.read(source)["sha256"] == row["sha256"], (path, source)


@pytest.fixture(scope="module")
def copied(finished, tmp_path_factory):
    """Another working copy over copied results, without what Snakemake remembers."""
    clone = Checkout(tmp_path_factory.mktemp("clone"))
    target = clone.folder / "results"
    shutil.copytree(finished.folder / "results", target, copy_function=shutil.copy2)
    shutil.copytree(
        finished.folder / "downloads", clone.folder / "downloads", copy_function=shutil.copy2
    )
    return clone


def flagged(checkout):
    """What a new report says is stale, by system and stage; its Markdown and its page."""
    checkout.snakemake("--forcerun", "report")
    folder = checkout.folder / "results/shapes/report/test"
    with (folder / "table.csv").open(newline="") as file:
        rows = {f"{row['system']}/{row['stage']}": row.get("stale") for row in csv.DictReader(file)}
    return rows, (folder / "table.md").read_text(), (folder / "index.html").read_text()


def test_settings_that_snakemake_does_not_miss_are_flagged(copied):
    config = copy.deepcopy(CONFIG)
    config["systems"]["neuraltalk2"]["decoding"]["beam_width"] = 3
    copied.write_config(config)
    assert copied.planned() == set()  # the trap
    rows, text, page = flagged(copied)
    said = "made with other settings: results/shapes/neuraltalk2/frozen/captions/test.json"
    assert said in rows["neuraltalk2/frozen"]
    assert rows["show_and_tell/frozen"] == rows["obj2text/train"] == ""
    assert "| neuraltalk2 † |" in text and "## Changed since" in text
    assert text.count(said) == page.count(said) == 1
    assert f"- {said} and 1 more (neuraltalk2/frozen, neuraltalk2/finetune)" in text
    # And when they are set back, the report follows.
    copied.write_config(CONFIG)
    assert copied.planned() == {"report test"}  # its own making Snakemake remembers by now
    rows, text, page = flagged(copied)
    assert set(rows.values()) == {None} and "†" not in text
    assert 'class="stale"' not in page


def test_captions_edited_by_hand_are_flagged(copied):
    """With a date that Snakemake does not look at twice."""
    place = copied.folder / "results/shapes/pictures.json"
    before = place.stat()
    value = json.loads(place.read_text())
    value["pictures"][-1]["captions"][0] += " by hand"
    place.write_text(json.dumps(value))
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert copied.planned() == set()
    rows, text, _ = flagged(copied)
    for stale in rows.values():
        assert "changed by hand: results/shapes/pictures.json" in stale
        assert "made before results/shapes/pictures.json changed: results/shapes/" in stale
    assert text.count("pictures.json changed: ") == text.count("changed by hand: ") == 1
