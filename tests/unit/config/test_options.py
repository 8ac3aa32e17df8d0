"""Parts are checked by reading their source, and built from what a system has."""

import subprocess
import sys

import pytest

from snakecap import registry
from snakecap.config import options
from snakecap.models.decoders.attention import AttentionDecoder
from snakecap.objectives.cross_entropy import CrossEntropy


def test_a_part_gets_what_it_needs_and_its_options():
    available = {"width": 8, "vocabulary_size": 5, "constant_size": 3, "nobody": "reads this"}
    given = {"heads": "2", "hidden_size": 6}
    decoder = options.build("decoder", "attention", given, available)
    assert isinstance(decoder, AttentionDecoder)
    assert (decoder.heads, decoder.query.in_features) == (2, 6)
    assert decoder.language.recurrent.input_size == 8 + 3
    objective = options.build("objective", "cross_entropy", {"label_smoothing": 0.1}, {"model": 1})
    assert isinstance(objective, CrossEntropy) and objective.label_smoothing == 0.1


@pytest.mark.parametrize(
    ("family", "name", "available", "missing"),
    [
        ("decoder", "lstm", {"width": 8}, "vocabulary_size"),
        ("decoder", "lstm", {}, "width, vocabulary_size"),
        ("encoder", "layout_set", {"width": 8}, "categories"),
        ("encoder", "cnn", {"width": 8, "categories": 3}, "size"),
        ("objective", "cross_entropy", {"vocabulary": ()}, "model"),
    ],
)
def test_what_a_system_lacks_is_named(family, name, available, missing):
    message = f"{family} {name} needs {missing}: the system has none"
    with pytest.raises(ValueError, match=message):
        options.build(family, name, {}, available)


def test_wrong_options_are_named_when_a_part_is_built():
    with pytest.raises(ValueError, match="decoder lstm: unknown option hidden; its options"):
        options.build("decoder", "lstm", {"hidden": 3}, {"width": 8, "vocabulary_size": 5})


WRONG = [
    ("decoder", "lstm", {"tie_embeddings": True, "hidden_size": 4}, "tie_embeddings needs"),
    ("decoder", "attention", {"heads": 3}, "width 8 is not a multiple of 3 heads"),
    ("decoder", "transformer", {"heads": 3}, "width 8 is not a multiple of 3 heads"),
    ("encoder", "layout_set", {"heads": 3}, "width 8 is not a multiple of 3 heads"),
    ("encoder", "layout_lstm", {"distinct": True, "location": True}, "set location: false"),
    ("objective", "self_critical", {"samples": 1}, "it needs 2 or more"),
]


def test_every_check_of_a_part_is_tried():
    places = [(family, name) for family, table in registry.FAMILIES.items() for name in table]
    checked = {place for place in places if options._rule(registry.module(*place))}
    assert checked == {(family, name) for family, name, *_ in WRONG}


@pytest.mark.parametrize(("family", "name", "given", "said"), WRONG)
def test_rules_refuse_alike_with_and_without_the_constructor(family, name, given, said):
    options.check_rules(family, name, {"width": 8, "hidden_size": 8})
    with pytest.raises(ValueError, match=f"^{family} {name}: .*{said}"):
        options.check_rules(family, name, {"width": 8, **given})
    available = {"width": 8, "vocabulary_size": 5, "categories": 3, "model": 1, "references": 1,
                 "mirror": 1}  # fmt: skip
    with pytest.raises(ValueError, match=said):
        options.build(family, name, given, available)


def test_rules_are_checked_without_torch():
    """A dry run checks them."""
    code = f"""
import sys
from snakecap.config import options
for family, name, given, said in {WRONG!r}:
    try:
        options.check_rules(family, name, {{"width": 8, **given}})
    except ValueError as error:
        assert said in str(error), error
    else:
        raise AssertionError(name)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
