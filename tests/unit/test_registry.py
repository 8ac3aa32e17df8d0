"""Parts by name: each one is there, is of its family, and is named when it is not."""

import inspect

import pytest

from snakecap import registry

REGISTERED = [(family, name) for family, table in registry.FAMILIES.items() for name in table]
# The names of the arguments that each family's parts are called with.
CALLED_WITH = {
    "backbone": ["architecture", "class_scores"],
    "dataset": ["root"],
    "tokenizer": ["caption"],
    "search": ["step", "state", "decoding", "pictures", "constraints"],
    "schedule": ["iteration", "total"],
    "optimiser": ["parameters", "gradients", "slots", "numbers"],
    "metric": ["references"],
    "task": ["settings", "files", "place", "processes"],
}
# models/build.py, inputs/build.py, tasks/caption.py, inference/detector.py
BUILT_WITH = {"width", "vocabulary_size", "full_stop", "size", "categories"}
BUILT_WITH |= {"source", "backbones", "geometry", "model", "vocabulary"}
BUILT_WITH |= {"file", "min_score", "overlap", "limit", "place", "ids"}
BUILT_WITH |= {"references", "mirror", "epoch_length", "validations"}
# Given where a part takes it, and no option of a user's: positional, so that settings skip it.
GIVEN = {"constant_size"}


@pytest.mark.parametrize(("family", "name"), REGISTERED)
def test_every_part_is_what_its_family_is_called_with(family, name):
    part = registry.load(family, name)
    parameters = inspect.signature(part).parameters.values()
    if family in CALLED_WITH:
        positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        assert positional == CALLED_WITH[family]
        parameters = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    else:  # `options.build` gives them what the system has
        assert all(p.kind is p.KEYWORD_ONLY or p.name in GIVEN for p in parameters)
    assert {p.name for p in parameters if p.default is p.empty} <= BUILT_WITH
    assert inspect.getdoc(part)


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_unknown_names_list_the_known(family):
    with pytest.raises(ValueError, match=f"unknown {family} 'nothing'; known: ") as caught:
        registry.location(family, "nothing")
    assert all(name in str(caught.value) for name in registry.FAMILIES[family])


def test_a_part_lives_in_a_module_of_its_own():
    """A changed line of one part must not redo the work of the others; optimisers share one."""
    places = [registry.module(*part) for part in REGISTERED if part[0] != "optimiser"]
    assert len(set(places)) == len(places)
