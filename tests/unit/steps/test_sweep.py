"""Random search over learning rates (spec H1, NeuralTalk2's cv/driver.py)."""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from snakecap import cli
from snakecap.config import settings
from snakecap.steps.sweep import Sweep, sweep

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config.yaml"


def load(path):
    return yaml.safe_load(path.read_text())


def test_variants_differ_in_what_is_drawn_only_and_are_valid(tmp_path):
    output = tmp_path / "s.yaml"
    chosen = Sweep(number=20, betas=(0.995, 0.999))
    sweep(configs=[CONFIG], system="neuraltalk2", output=output, settings=chosen)
    config = load(CONFIG)
    base = settings.read(config).systems["neuraltalk2"]
    update_config(config, load(output))
    checked = settings.read(config)
    assert list(checked.runs()) == [f"neuraltalk2_{n}" for n in range(1, 21)]
    assert checked.evaluate == ("val",)
    factors = {}
    for name, row in checked.runs().items():
        for stage, original in zip(row.stages, base.stages, strict=True):
            for kind in ("optimiser", "backbone_optimiser"):
                drawn, before = getattr(stage, kind), getattr(original, kind)
                factor = drawn.learning_rate / before.learning_rate
                assert 1 / 3.02 < factor < 3.02 and drawn.beta in (0.995, 0.999)
                assert factors.setdefault((name, kind), factor) == pytest.approx(factor, rel=0.01)
                same = {"learning_rate": before.learning_rate, "beta": before.beta}
                assert drawn.model_copy(update=same) == before
                stage = stage.model_copy(update={kind: before})
            assert stage == original
        assert row.model_copy(update={"stages": base.stages}) == base
    assert len(set(factors.values())) > 35
    # Log-uniform: about half make it smaller.
    assert 12 <= sum(factor < 1 for factor in factors.values()) <= 28


def test_the_seed_decides(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        chosen = Sweep(number=2, seed=seed)
        output = tmp_path / name
        sweep(configs=[CONFIG], system="show_and_tell", output=output, settings=chosen)
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
