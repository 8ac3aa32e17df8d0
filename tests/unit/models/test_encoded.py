"""What encoders give: merged from several, and selected by picture, with all that it holds."""

from dataclasses import dataclass

import torch
from torch import Tensor

from snakecap.models.encoded import Encoded, Memory, Selectable, merge

B, D, R = 3, 4, 5


def encoded(**parts):
    return Encoded(torch.randn(B, D), **parts)


def test_one_part_is_itself():
    one = encoded(regions=torch.randn(B, R, D), constant=torch.randn(B, 2))
    assert merge([one]) is one


def test_summaries_add_regions_line_up_and_constants_are_side_by_side():
    mask = torch.rand(B, R) < 0.5
    plain = encoded(constant=torch.randn(B, 2))
    grid = encoded(regions=torch.randn(B, 2, D))
    objects = encoded(regions=torch.randn(B, R, D), mask=mask, constant=torch.randn(B, 3))
    merged = merge([plain, grid, objects])
    summary = plain.summary + grid.summary + objects.summary
    torch.testing.assert_close(merged.summary, summary)
    assert torch.equal(merged.regions, torch.cat([grid.regions, objects.regions], 1))
    assert torch.equal(merged.mask, torch.cat([torch.ones(B, 2).bool(), mask], 1))
    assert torch.equal(merged.constant, torch.cat([plain.constant, objects.constant], 1))


def test_what_no_part_has_is_none():
    merged = merge([encoded(), encoded()])
    assert (merged.regions, merged.mask, merged.constant) == (None, None, None)
    constant = torch.randn(B, 2)
    assert torch.equal(merge([encoded(), encoded(constant=constant)]).constant, constant)


def test_every_field_is_selected():
    one = encoded(
        regions=torch.randn(B, R, D), mask=torch.rand(B, R) < 0.5, constant=torch.randn(B, 2)
    )
    chosen = torch.tensor([2, 0, 0, 2])
    some = one.select(chosen)
    for name in ("summary", "regions", "mask", "constant"):
        assert torch.equal(getattr(some, name), getattr(one, name)[chosen]), name
    bare = encoded().select(chosen)
    assert len(bare.summary) == 4 and bare.regions is bare.constant is None


@dataclass(frozen=True)
class Keys(Selectable):
    layers: tuple[tuple[Tensor, Tensor], ...]
    memory: Memory
    heads: int = 2


def test_nested_tuples_and_what_is_prepared_are_selected():
    """As the keys and values of a transformer's layers are."""
    pairs = tuple((torch.randn(B, R, D), torch.randn(B, R)) for _ in range(2))
    memory = Memory(encoded(constant=torch.randn(B, 1)), (torch.randn(B, 7),))
    chosen = torch.tensor([1, 1, 0])
    some = Keys(pairs, memory).select(chosen)
    assert some.heads == 2
    for pair, before in zip(some.layers, pairs, strict=True):
        assert all(torch.equal(x, y[chosen]) for x, y in zip(pair, before, strict=True))
    assert torch.equal(some.memory.prepared[0], memory.prepared[0][chosen])
    assert torch.equal(some.memory.encoded.constant, memory.encoded.constant[chosen])
