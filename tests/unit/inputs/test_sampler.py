"""Every picture once an epoch (spec L2) by the seed alone; and which of its captions."""

from collections import Counter

import pytest
import torch

from snakecap.inputs.batches import Sampler, choose


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


# Captions.


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_enough_captions_give_a_contiguous_chunk_at_a_uniform_start():
    number = 6000
    rows = choose(torch.full((number,), 10), torch.full((number,), 8), 5, seeded())
    assert rows.dtype == torch.int64 and rows.shape == (number, 5)
    assert (rows.diff(dim=1) == 1).all()
    counts = Counter(rows[:, 0].tolist())
    assert set(counts) == {10, 11, 12, 13}
    assert sum((n - number / 4) ** 2 / (number / 4) for n in counts.values()) < 22  # 3 degrees


def test_too_few_captions_are_drawn_with_replacement():
    number = 4000
    rows = choose(torch.full((number,), 7), torch.full((number,), 3), 5, seeded())
    counts = Counter(rows.flatten().tolist())
    assert set(counts) == {7, 8, 9}
    expected = 5 * number / 3
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 19  # 2 degrees
    # Independent draws: neighbours agree a third of the time.
    agree = (rows[:, 0] == rows[:, 1]).double().mean().item()
    assert abs(agree - 1 / 3) < 0.04


def test_exactly_enough_gives_all_in_order():
    assert choose(torch.tensor([4, 20]), torch.tensor([5, 5]), 5, seeded()).tolist() == [
        [4, 5, 6, 7, 8],
        [20, 21, 22, 23, 24],
    ]


def test_each_picture_keeps_to_its_own_rows():
    counts = torch.randint(1, 9, (500,), generator=seeded(1))
    starts = counts.cumsum(0) - counts
    rows = choose(starts, counts, 5, seeded(2))
    assert (rows >= starts.unsqueeze(1)).all()
    assert (rows < (starts + counts).unsqueeze(1)).all()


def test_the_generator_decides():
    starts, counts = torch.arange(0, 90, 9), torch.full((10,), 9)
    assert torch.equal(choose(starts, counts, 2, seeded(3)), choose(starts, counts, 2, seeded(3)))
    assert not torch.equal(
        choose(starts, counts, 2, seeded(3)), choose(starts, counts, 2, seeded(4))
    )


def test_a_picture_without_captions():
    with pytest.raises(ValueError, match="picture 1 of 2 has no captions"):
        choose(torch.tensor([0, 3]), torch.tensor([3, 0]), 5)
