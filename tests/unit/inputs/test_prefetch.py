"""Batches that are made while the model computes."""

import pytest

from snakecap.inputs.input import Prefetch


def test_batches_made_ahead_are_those_asked_for():
    """In any order, as after a restart; an error arrives with its own batch."""

    def make(iteration):
        if iteration == 3:
            raise KeyError(iteration)
        return iteration * 10

    ahead = Prefetch(make, 5)
    assert [ahead(0), ahead(1), ahead(2)] == [0, 10, 20]
    with pytest.raises(KeyError):
        ahead(3)
    assert [ahead(4), ahead(0)] == [40, 0]
    ahead.close()
