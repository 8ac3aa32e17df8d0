"""Random search over learning rates (spec H1, NeuralTalk2's cv/driver.py)."""

import math
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from snakecap import cli, settings
from snakecap.stages.sweep import Sweep, _merge, sweep

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config.yaml"


def load(path):
    return yaml.safe_load(path.read_text())


def test_variants_differ_in_what_is_drawn_only_and_are_valid(tmp_path):
    sweep([CONFIG], system="neuraltalk2", output=tmp_path / "s.yaml", settings=Sweep(number=20))
    config = load(CONFIG)
    base = settings.read(config)
    update_config(config, load(tmp_path / "s.yaml"))
    checked = settings.read(config)
    assert list(checked.runs()) == [f"neuraltalk2_{n}" for n in range(1, 21)]
    assert checked.evaluate == ("val",)
    drawn = {"optimiser": (-5.5, -4.5), "backbone_optimiser": (-5.5, -4.25)}
    rates = set()
    for row in checked.runs().values():
        one = row.stages[0]
        rates.add(one.optimiser.learning_rate)
        for stage, original in zip(row.stages, base.systems["neuraltalk2"].stages, strict=True):
            for name, (low, high) in drawn.items():
                numbers = getattr(stage, name)
                assert low - 0.01 <= math.log10(numbers.learning_rate) <= high + 0.01
                assert numbers.beta in (0.995, 0.999) and numbers == getattr(one, name)
                stage = stage.model_copy(update={name: getattr(original, name)})
            assert stage == original
        rest = {"stages": base.systems["neuraltalk2"].stages}
        assert row.model_copy(update=rest) == base.systems["neuraltalk2"]
    assert len(rates) == 20
    # Log-uniform: about half below the geometric middle.
    assert 4 <= sum(rate < 1e-5 for rate in rates) <= 16


def test_the_seed_decides(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        chosen = Sweep(number=2, seed=seed)
        sweep([CONFIG], system="show_and_tell", output=tmp_path / name, settings=chosen)
    rows = [load(tmp_path / name) for name in "abc"]
    assert rows[0] == rows[1] != rows[2]


def test_at_the_command_line(tmp_path, capsys):
    output = tmp_path / "s.yaml"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("systems: {neuraltalk2: {width: 64}}\n")
    words = ["--system", "neuraltalk2", "--output", str(output), "--number", "2"]
    cli.main(["sweep", str(CONFIG), str(recipe), *words])
    assert load(output)["systems"]["neuraltalk2_2"]["width"] == 64
    assert f"--configfile {CONFIG} {recipe} {output}" in output.read_text()
    with pytest.raises(SystemExit):
        cli.main(["sweep", str(CONFIG), "--system", "x", "--output", str(output)])
    assert "no system 'x'" in capsys.readouterr().err


def test_recipes_are_merged_as_snakemake_does():
    one = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    other = {"a": {"c": [3], "e": {}}, "d": {"x": 1}}
    expected = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    update_config(expected, other)
    _merge(one, other)
    assert one == expected
