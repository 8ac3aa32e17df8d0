"""OBJ2TEXT's encoders (specification O5 to O12, O19, O20): what they see, and what not."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from snakecap import registry
from snakecap.config import options
from snakecap.models.encoders.layout_lstm import LayoutLSTMEncoder, distinct
from snakecap.models.encoders.layout_set import LayoutSetEncoder, count

B, R, K, D = 4, 6, 9, 8
NAMES = [
    name for name in registry.ENCODERS if options.constant("encoder", name, "reads") == "layout"
]
every = pytest.mark.parametrize("name", NAMES)
IDS = torch.tensor([[3, 3, 7, 1, 0, 0], [2, 0, 0, 0, 0, 0], [0] * 6, [9, 8, 7, 6, 5, 4]])


def layouts(ids=IDS, seed=0):
    boxes = torch.rand(*ids.shape, 4, generator=torch.Generator().manual_seed(seed)) / 2
    return {"categories": ids, "boxes": boxes * (ids > 0).unsqueeze(-1)}


def build(name, **given):
    torch.manual_seed(0)
    known = options.model("encoder", name).model_fields
    small = {"heads": 2, "hidden_size": 16}
    chosen = {option: value for option, value in small.items() if option in known}
    return registry.load("encoder", name)(width=D, categories=K, **chosen, **given).eval()


def same(one, other):
    torch.testing.assert_close(one.summary, other.summary, rtol=1e-5, atol=1e-6)


@every
def test_shapes_and_which_regions_exist(name):
    model = build(name)
    encoded = model(layouts())
    assert encoded.summary.shape == (B, D)
    assert encoded.regions.shape[::2] == (B, D)
    assert torch.equal(encoded.mask[:, :R], IDS > 0)  # region r is object r
    assert model.by_object


@every
def test_an_encoding_does_not_depend_on_its_batch_or_padding(name):
    """Specification O9: the original's did."""
    model = build(name)
    inputs = layouts()
    together = model(inputs)
    for row in range(B):
        number = int((IDS[row] > 0).sum())
        alone = model({key: value[row : row + 1, :number] for key, value in inputs.items()})
        same(alone, together.select(torch.tensor([row])))
        torch.testing.assert_close(alone.regions[0, :number], together.regions[row, :number])


@every
def test_what_lies_behind_the_last_object_is_not_read(name):
    model = build(name)
    inputs = layouts()
    noisy = {**inputs, "boxes": inputs["boxes"] + 5 * (IDS == 0).unsqueeze(-1)}
    same(model(inputs), model(noisy))


@every
def test_an_empty_layout_is_encoded_the_same_everywhere(name):
    """Specification O10: alone, among others, and in a batch without any object."""
    model = build(name)
    nothing = torch.zeros(2, 0, dtype=torch.long)
    encoded = model({"categories": nothing, "boxes": torch.zeros(2, 0, 4)})
    assert bool(encoded.summary.isfinite().all())
    same(encoded, model(layouts()).select(torch.tensor([2, 2])))


@every
def test_location_matters_only_where_it_is_read(name):
    """Specification O7."""
    inputs = layouts()
    moved = {**inputs, "boxes": layouts(seed=1)["boxes"]}
    model = build(name, location=True)
    assert not torch.allclose(model(inputs).summary[0], model(moved).summary[0])
    model = build(name, location=False)
    same(model(inputs), model(moved))


@every
def test_categories_and_their_number_matter(name):
    model = build(name)
    inputs = layouts()
    for ids in (IDS.where(IDS != 3, 4), IDS.where(IDS != 1, 0)):
        changed = model({**inputs, "categories": ids})
        assert not torch.allclose(model(inputs).summary[0], changed.summary[0])


@every
def test_every_parameter_learns_and_no_padding_does(name):
    model = build(name).train()
    encoded = model(layouts())
    (encoded.summary.square().sum() + encoded.regions[encoded.mask].square().sum()).backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in model.parameters())
    assert bool((model.names.weight.grad[0] == 0).all())


def test_the_lstm_is_the_packed_one():
    """Against torch's own packing by true length, START and its bias of the box included."""
    model = build("layout_lstm")
    inputs = layouts()
    ids = torch.cat([torch.full((B, 1), K + 1), IDS], 1)
    boxes = torch.cat([torch.zeros(B, 1, 4), inputs["boxes"]], 1)
    words = model.names(ids) + boxes @ model.place.weight.T + model.place.bias
    lengths = 1 + (IDS > 0).sum(1)
    packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
    torch.testing.assert_close(model(inputs).summary, model.lstm(packed)[1][0][0])


def test_the_published_sizes():
    """Specification B5: its table has one row for each caption word, and START: V + 1 = 9,568."""
    sizes = {}
    for location in (True, False):
        model = LayoutLSTMEncoder(width=512, categories=9566, location=location)
        sizes[location] = sum(parameter.numel() for parameter in model.parameters())
    assert sizes[True] - sizes[False] == 7_002_624 - 7_000_064
    # torch's LSTM has two vectors of biases as the original's did; our id 0 is a row of the table.
    assert sizes[False] == 7_000_064


def test_objclass_ignores_duplicates_and_order_objname_does_not():
    """Specification O6."""
    once = IDS.new_tensor([[3, 7, 1]])
    twice = IDS.new_tensor([[7, 3, 3, 1]])
    objclass = build("layout_lstm", location=False, distinct=True)
    same(objclass(layouts(once)), objclass(layouts(twice)))
    objname = build("layout_lstm", location=False)
    assert not torch.allclose(objname(layouts(once)).summary, objname(layouts(twice)).summary)
    assert not objclass.by_object


def test_distinct_categories_are_those_of_a_set():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, K + 1, (200, 7), generator=generator)
    found = distinct(ids, K)
    for row, expected in zip(found.tolist(), ids.tolist(), strict=True):
        kept = sorted(set(expected) - {0})
        assert row == kept + [0] * (len(row) - len(kept))


def test_objclass_reads_so_many_categories():
    ids = torch.arange(1, K + 1).unsqueeze(0)
    model = build("layout_lstm", location=False, distinct=True, distinct_limit=4)
    same(model(layouts(ids)), model(layouts(ids[:, :4])))
    same(model(layouts(ids)), build("layout_lstm", distinct=True, distinct_limit=4)(layouts(ids)))
    with pytest.raises(ValueError, match="set location: false"):
        build("layout_lstm", distinct=True, location=True)


def test_dropout_is_of_the_states_and_box_dropout_of_the_boxes_alone():
    inputs = layouts()
    plain = build("layout_lstm").train()(inputs)
    states = build("layout_lstm", dropout=0.5).train()(inputs).regions[:, :R]
    kept = states != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(states[kept], 2 * plain.regions[:, :R][kept])
    nothing = build("layout_lstm", box_dropout=0.999999).train()
    unplaced = {**inputs, "boxes": torch.zeros_like(inputs["boxes"])}
    same(nothing(inputs), build("layout_lstm")(unplaced))
    same(nothing.eval()(inputs), build("layout_lstm")(inputs))


def test_a_set_has_no_order():
    """Specification O19."""
    model = build("layout_set")
    inputs = layouts()
    order = torch.tensor([2, 0, 3, 1, 4, 5])
    shuffled = model({key: value[:, order] for key, value in inputs.items()})
    encoded = model(inputs)
    kept = torch.tensor([0, 3])
    same(shuffled.select(kept), encoded.select(kept))
    torch.testing.assert_close(shuffled.regions[3, :R], encoded.regions[3, order])


def test_counts_are_counted():
    assert count(IDS, K)[0].tolist() == [1, 0, 2, 0, 0, 0, 1, 0, 0]
    assert count(IDS, K).sum(1).tolist() == (IDS > 0).sum(1).tolist()
    assert build("layout_set", counts=False).counts is None


def test_attention_inside_the_set_is_torchs_own():
    """Against torch's encoder layer with the same weights."""
    model = LayoutSetEncoder(width=D, categories=K, layers=1, heads=2, hidden_size=16).eval()
    mine = model.layers[0]
    theirs = torch.nn.TransformerEncoderLayer(
        D, 2, 16, dropout=0.0, batch_first=True, norm_first=True
    ).eval()
    pairs = {
        theirs.norm1: mine.first,
        theirs.norm2: mine.second,
        theirs.linear1: mine.forward_part[0],
        theirs.linear2: mine.forward_part[3],
        theirs.self_attn.out_proj: mine.join,
    }
    for there, here in pairs.items():
        there.load_state_dict(here.state_dict())
    theirs.self_attn.in_proj_weight.data = mine.project.weight.data
    theirs.self_attn.in_proj_bias.data = mine.project.bias.data
    tokens = torch.randn(B, R, D, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(B, R, generator=torch.Generator().manual_seed(1)) < 0.7
    mask[:, 0] = True
    with torch.inference_mode(False):
        expected = theirs(tokens, src_key_padding_mask=~mask)
    torch.testing.assert_close(mine(tokens, mask)[mask], expected[mask])
