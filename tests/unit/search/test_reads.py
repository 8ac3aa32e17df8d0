"""Each search says which options it reads, so that another one's change runs nothing again."""

import ast
import inspect
from importlib import import_module

import pytest

from snakecap import registry
from snakecap.config.evaluation import OF_METHODS


def named(method):
    """The options that a search's code names, and those of the searches that it asks."""
    module = import_module(registry.module("search", method))
    found = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(module.search)))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "decoding"
    }
    asked = [name for name in registry.SEARCHES if inspect.ismodule(getattr(module, name, None))]
    return found.union(*map(named, asked))


@pytest.mark.parametrize("method", registry.SEARCHES)
def test_what_a_search_says_it_reads_is_what_its_code_names(method):
    module = import_module(registry.module("search", method))
    found = named(method)
    draws = {"batch_size"} if "seed" in found else set()  # by which samples are drawn
    assert set(module.READS) == found & set(OF_METHODS) | draws
