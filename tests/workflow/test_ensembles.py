"""Ensembles as rows of the table: after their members, and nothing runs again for them."""

import csv
import json

import pytest
from checkout import CONFIG, Checkout

SYSTEMS = {
    name: {**CONFIG["systems"][name], "stages": CONFIG["systems"][name]["stages"][:1]}
    for name in ("neuraltalk2", "obj2text")
}
PLAIN = {**CONFIG, "systems": SYSTEMS}
SEEDED = {**PLAIN, "compare": ["neuraltalk2"], "seeds": [1, 2]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    checkout = Checkout(tmp_path_factory.mktemp("ensembles"))
    checkout.write_config(PLAIN)
    checkout.snakemake()
    return checkout


def rows(checkout):
    with (checkout.folder / "results/shapes/report/test/table.csv").open() as file:
        return {row["system"]: row for row in csv.DictReader(file)}


def test_an_ensemble_of_pictures_and_layouts_runs_its_own_jobs_alone(finished):
    both = {"systems": ["neuraltalk2", "obj2text"], "decoding": {"beam_width": 3}}
    finished.write_config({**PLAIN, "ensembles": {"both": both}})
    ours = {"caption both ensemble test", "score both ensemble test", "report test"}
    assert finished.planned() == ours
    finished.snakemake()
    assert finished.planned() == set()
    captions = finished.folder / "results/shapes/both/ensemble/captions/test.json"
    assert len(json.loads(captions.read_text())) == 4
    table = rows(finished)
    assert list(table) == ["neuraltalk2", "obj2text", "both"]
    assert table["both"]["stage"] == "ensemble" and not table["both"]["minutes"]
    assert float(table["both"]["CIDEr"]) >= 0 and not table["both"].get("stale")


def test_an_ensemble_of_seeds(finished):
    finished.write_config({**SEEDED, "ensembles": {"all": {"systems": ["neuraltalk2"]}}})
    finished.snakemake()
    assert "all" in rows(finished)
    record = json.loads(
        (
            finished.folder / "results/shapes/all/ensemble/captions/test.json.provenance.json"
        ).read_text()
    )
    models = [one["path"] for one in record["inputs"] if one["argument"] == "model"]
    assert [path.split("/")[-3] for path in models] == ["neuraltalk2_seed1", "neuraltalk2_seed2"]
    page = (finished.folder / "results/shapes/report/test/index.html").read_text()
    assert "all / ensemble" in page or '"all"' in page


def test_an_ensemble_is_run_where_all_its_models_are(finished):
    """A recipe cannot remove the rows of another one: `compare` and `seeds` may be narrower."""
    both = {"both": {"systems": ["neuraltalk2", "obj2text"]}}
    for narrow in ({"compare": ["obj2text"]}, {"ensembles": {"both": {"systems": ["obj2text"]}}}):
        finished.write_config({**PLAIN, "ensembles": both, **narrow})
        assert not any("ensemble" in job for job in finished.planned())
    finished.write_config({**PLAIN, "ensembles": {"both": {"systems": ["nobody"]}}})
    said = finished.snakemake("--dry-run", check=False).stdout
    assert "ensembles.both: systems: no row 'nobody' in systems" in said


def test_systems_of_two_vocabularies_are_no_ensemble(finished):
    other = {**CONFIG["systems"]["show_and_tell"]}
    config = {**PLAIN, "systems": {**SYSTEMS, "other": other}}
    config["ensembles"] = {"both": {"systems": ["neuraltalk2", "other"]}}
    finished.write_config(config)
    said = finished.snakemake("--dry-run", check=False).stdout
    assert "need one vocabulary; they have neuraltalk2, tutorial" in said
