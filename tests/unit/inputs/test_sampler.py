"""Every picture once an epoch (spec L2), in an order that depends on the seed alone."""

import pytest
import torch

from snakecap.inputs.sampler import Sampler


@pytest.mark.parametrize("size", [1, 3, 7, 10, 50])
def test_every_row_once_an_epoch_for_any_batch_size(size):
    rows = torch.arange(100, 110)
    sampler = Sampler(rows, batch_size=size, seed=1)
    for epoch in range(3):
        first = epoch * sampler.epoch_length
        seen = torch.cat([sampler.batch(first + i)[0] for i in range(sampler.epoch_length)])
        assert sorted(seen.tolist()) == rows.tolist()


def test_orders_differ_between_epochs_and_seeds_and_repeat_for_one():
    def order(seed, epoch):
        return Sampler(torch.arange(30), batch_size=30, seed=seed).batch(epoch)[0].tolist()

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_unshuffled_keeps_file_order():
    sampler = Sampler(torch.arange(5), batch_size=2, seed=1, shuffle=False)
    assert [sampler.batch(i)[0].tolist() for i in range(4)] == [[0, 1], [2, 3], [4], [0, 1]]


def test_generators_differ_by_iteration_only():
    sampler = Sampler(torch.arange(5), batch_size=2, seed=1)
    draws = [torch.rand(1, generator=sampler.batch(i)[1]).item() for i in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]


def test_no_rows_is_an_error():
    with pytest.raises(ValueError, match="training split holds no pictures"):
        Sampler(torch.arange(0), batch_size=2, seed=1)
