"""What a detector learns from: pixels, boxes, what is left out, and how pictures change."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from snakecap.formats.pictures import Picture
from snakecap.inputs.detection import (
    Augmentation,
    DetectionBatches,
    Examples,
    Squares,
    augmented,
    moved_images,
    moved_truths,
)
from snakecap.objects.boxes import Frame
from snakecap.objects.object import Object

CPU = torch.device("cpu")
NAMES = ("cat", "dog")


def photo(folder, name, width, height, seed=0):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
    image.save(folder / name)


def picture(name, *objects, size=(0, 0)):
    found = tuple(Object(*given) for given in objects)
    return Picture(name, name, "train", objects=found, width=size[0], height=size[1])


@pytest.fixture
def root(tmp_path):
    for number, size in enumerate([(40, 40), (40, 20), (30, 60), (64, 48), (16, 16)]):
        photo(tmp_path, f"{number}.png", *size, number)
    return tmp_path


def five():
    cat, dog = ("cat", (2.0, 3.0, 10.0, 8.0)), ("dog", (5.0, 4.0, 6.0, 9.0))
    rows = [(cat,), (dog, cat), (cat,), (dog,), (cat, dog)]
    return [picture(f"{number}.png", *row) for number, row in enumerate(rows)]


def batches(root, augmentation=Augmentation(True, 0.2, 0.3), seed=1, batch_size=2, **store):
    examples = Examples(Squares(root, five(), 32, **store), NAMES)
    return DetectionBatches(examples, augmentation, CPU, batch_size=batch_size, seed=seed)


def same(one, other):
    pairs = zip([images(one), *one.targets], [images(other), *other.targets], strict=True)
    return torch.equal(one.rows, other.rows) and all(torch.equal(a, b) for a, b in pairs)


def images(batch):
    return batch.inputs["pictures"]["images"]


def test_a_batch_is_a_pure_function_of_seed_and_iteration(root):
    one, other = batches(root), batches(root)
    late = other(7)  # in another order
    for iteration in range(7):
        assert same(one(iteration), other(iteration))
    assert same(one(7), late)
    assert not same(one(0), one(3))  # the next epoch
    assert not same(batches(root, seed=2)(0), one(0))


def test_nothing_depends_on_whether_the_pictures_fit_into_memory(root):
    held, read = batches(root), batches(root, memory=5 * 3 * 32 * 32 - 1)
    assert held.examples.squares.pixels is not None and read.examples.squares.pixels is None
    for iteration in range(4):
        assert same(held(iteration), read(iteration))


def test_a_file_that_vanishes_is_named(root):
    squares = Squares(root, five(), 32, memory=0)
    (root / "3.png").unlink()
    with pytest.raises(ValueError, match=r"3.png was readable before: missing"):
        squares.read([0, 3])


def test_every_picture_comes_once_an_epoch(root):
    feed = batches(root, Augmentation())
    assert feed.sampler.epoch_length == 3
    seen = [row.tolist() for k in range(3) for row in images(feed(k))]
    every = [row.tolist() for row in feed.examples.batch(range(5), CPU)[0]]
    assert sorted(seen) == sorted(every)
    rows = torch.cat([feed(k).rows for k in range(3)]).tolist()
    assert [every[row] for row in rows] == seen


def test_boxes_are_of_the_square(root):
    images, (owners, boxes, categories) = batches(root).examples.batch(range(5), CPU)
    assert images.shape == (5, 3, 32, 32) and images.min() >= 0 and images.max() <= 1
    assert owners.tolist() == [0, 1, 1, 2, 3, 4, 4]
    assert categories.tolist() == [0, 1, 0, 0, 1, 0, 1]
    # 40 x 20 pixels become 32 x 16 in the middle: x by .8, y by .8 and 8 down.
    expected = np.array([5 * 0.8, 4 * 0.8 + 8, 6 * 0.8, 9 * 0.8]) / 32
    assert boxes[1].numpy() == pytest.approx(expected, abs=1e-6)
    assert torch.all(images[1, :, :8] == 128 / 255)


def test_unreadable_pictures_are_left_out_and_named(root, caplog):
    (root / "1.png").write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        squares = Squares(root, [*five(), picture("gone.png")], 32)
    assert [p.file for p in squares.pictures] == ["0.png", "2.png", "3.png", "4.png"]
    assert "unreadable pictures left out: 2; 1.png: not an image" in caplog.text
    whole = Squares(root, [five()[3]], 32)
    assert np.array_equal(squares.read([2]), whole.read([0]))


ODD = {
    "not a number": (1.0, float("nan"), 5.0, 5.0),
    "without end": (1.0, 1.0, float("inf"), 5.0),
    "no width": (1.0, 1.0, 0.0, 5.0),
    "negative": (20.0, 20.0, 5.0, -5.0),
    "right of the picture": (40.0, 1.0, 5.0, 5.0),
    "above the picture": (1.0, -9.0, 5.0, 9.0),
}


@pytest.mark.parametrize("box", ODD.values(), ids=ODD)
def test_odd_boxes_are_left_out_and_counted(root, box, caplog):
    rows = [picture("0.png", ("cat", (1.0, 2.0, 3.0, 4.0)), ("dog", box)), picture("1.png")]
    with caplog.at_level(logging.WARNING):
        examples = Examples(Squares(root, rows, 32), NAMES)
    assert examples.truth() == {"0.png": [(0, [1, 2, 3, 4], False)], "1.png": []}
    assert "outside their picture: 1; the first is of picture 0.png (0.png)" in caplog.text


def test_a_box_that_reaches_outside_is_clipped(root):
    rows = [picture("0.png", ("cat", (-5.0, 30.0, 15.0, 30.0)))]
    examples = Examples(Squares(root, rows, 32), NAMES)
    assert examples.truth() == {"0.png": [(0, [0, 30, 10, 10], False)]}


def test_boxes_of_a_picture_that_was_resized_since(root):
    """The record speaks of 80 x 40 pixels, the file has 40 x 20."""
    rows = [picture("1.png", ("dog", (8.0, 4.0, 20.0, 30.0)), size=(80, 40))]
    examples = Examples(Squares(root, rows, 32), NAMES)
    assert examples.truth() == {"1.png": [(1, [4, 2, 10, 15], False)]}


def test_crowds_are_judged_by_but_not_learnt(root):
    rows = [
        picture("0.png", ("cat", (1.0, 2.0, 3.0, 4.0), 1.0, True), ("dog", (5.0, 5.0, 9.0, 9.0)))
    ]
    examples = Examples(Squares(root, rows, 32), NAMES)
    assert [crowd for _, _, crowd in examples.truth()["0.png"]] == [True, False]
    assert examples.batch([0], CPU)[1][2].tolist() == [1]
    assert examples.shapes() == pytest.approx(np.array([[9 / 40, 9 / 40]]))


def test_darknets_names_are_cocos(root):
    rows = [picture("0.png", ("tvmonitor", (1.0, 2.0, 3.0, 4.0)))]
    assert Examples(Squares(root, rows, 32), ("cat", "tv")).truth()["0.png"][0][0] == 1


def test_an_unknown_category_is_named(root):
    rows = [picture("0.png", ("cow", (1.0, 2.0, 3.0, 4.0)))]
    with pytest.raises(ValueError, match=r"picture 0.png \(0.png\) .* 'cow'; known: cat, dog"):
        Examples(Squares(root, rows, 32), NAMES)


def test_pictures_without_objects_teach_nothing(root):
    rows = [
        picture("0.png"),
        *five()[1:2],
        picture("2.png", ("cat", (0.0, 0.0, 5.0, 5.0), 1.0, True)),
    ]
    examples = Examples(Squares(root, rows, 32), NAMES)
    feed = DetectionBatches(examples, Augmentation(), CPU, batch_size=8, seed=1)
    assert len(images(feed(0))) == 1
    nothing = Examples(Squares(root, rows[:1], 32), NAMES)
    with pytest.raises(ValueError, match="no picture of the train split shows an object"):
        DetectionBatches(nothing, Augmentation(), CPU, batch_size=8, seed=1)


def painted(boxes, side=64):
    """White boxes on grey, one a picture."""
    images = torch.full((len(boxes), 3, side, side), 0.5)
    for image, (x, y, w, h) in zip(images, boxes, strict=True):
        image[:, y : y + h, x : x + w] = 1
    truths = (
        torch.arange(len(boxes)),
        torch.tensor(boxes, dtype=torch.float32) / side,
        torch.arange(len(boxes)) + 5,
    )
    return images, truths


def test_boxes_go_where_their_pixels_go():
    """What is white after any move is inside the moved box, and fills it."""
    random = np.random.default_rng(0)
    corners, sides = random.integers(0, 40, (60, 2)), random.integers(8, 24, (60, 2))
    images, truths = painted(np.concatenate([corners, sides], 1).tolist())
    generator = torch.Generator().manual_seed(3)
    moved, (owners, found, categories) = augmented(
        images, truths, generator, Augmentation(True, 0.3, 0.0)
    )
    assert len(owners) > 40 and torch.equal(categories, owners + 5)
    assert (found[:, :2] >= 0).all() and (found[:, :2] + found[:, 2:] <= 1 + 1e-6).all()
    widths = []
    for owner, box in zip(owners.tolist(), found, strict=True):
        rows, columns = torch.nonzero(moved[owner, 0] > 0.75, as_tuple=True)
        edges = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        x, y, w, h = (64 * box).tolist()
        assert edges.numpy() == pytest.approx([x, y, x + w, y + h], abs=1.01)
        widths.append(w)
    assert np.ptp(widths) > 5  # they did change


def test_a_mirrored_picture_is_exactly_that():
    images = torch.rand(2, 3, 16, 16)
    truths = (torch.tensor([0, 1]), torch.tensor([[0.1, 0.2, 0.3, 0.4]] * 2), torch.tensor([1, 2]))
    scale, offset = torch.tensor([[-1.0, 1.0], [1.0, 1.0]]), torch.zeros(2, 2)
    moved = moved_images(images, scale, offset)
    torch.testing.assert_close(moved, torch.stack([images[0].flip(2), images[1]]))
    _, boxes, _ = moved_truths(truths, scale, offset)
    torch.testing.assert_close(boxes, torch.tensor([[0.6, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]]))


def test_an_object_of_which_little_is_left_goes():
    truths = (torch.tensor([0, 1]), torch.tensor([[0.8, 0.4, 0.2, 0.2]] * 2), torch.tensor([3, 4]))
    offset = torch.tensor([[0.12, 0.0], [0.15, 0.0]])  # 40 % and 25 % stay
    owners, boxes, categories = moved_truths(truths, torch.ones(2, 2), offset)
    assert owners.tolist() == [0] and categories.tolist() == [3]
    assert boxes[0].tolist() == pytest.approx([0.92, 0.4, 0.08, 0.2])


def test_what_comes_from_outside_is_grey():
    moved = moved_images(torch.ones(1, 3, 8, 8), torch.ones(1, 2), torch.tensor([[0.5, 0.0]]))
    assert torch.allclose(moved[..., :4], torch.tensor(0.5))
    assert torch.allclose(moved[..., 4:], torch.tensor(1.0))


def test_colours_change_within_their_share():
    images, truths = torch.full((200, 3, 2, 2), 0.4), (torch.tensor([], dtype=torch.int64),) * 3
    truths = (truths[0], torch.zeros(0, 4), truths[2])
    generator = torch.Generator().manual_seed(0)
    changed = augmented(images, truths, generator, Augmentation(False, 0.0, 0.25))[0]
    gains = changed[:, :, 0, 0] / 0.4
    assert gains.max() <= 1.25 + 1e-5 and gains.min() >= 1 / 1.25 - 1e-5
    assert gains.max() > 1.15 and gains.min() < 0.87
    assert (gains.std(1) > 0.01).float().mean() > 0.8  # the channels differ
    assert (changed == changed[..., :1, :1]).float().mean() > 0.9  # all pixels alike


def test_no_augmentation_changes_nothing():
    images, truths = painted([[3, 4, 20, 10]])
    same_images, same_truths = augmented(images, truths, torch.Generator(), Augmentation())
    assert same_images is images and same_truths is truths


def test_frames_agree_with_detection(root):
    """Boxes into the square and out of it again are the file's."""
    examples = Examples(Squares(root, five(), 32), NAMES)
    for row, size in enumerate(examples.squares.sizes):
        boxes = examples.targets[row][0].numpy() * 32
        back = Frame.around(*size, 32).out(boxes)
        assert back == pytest.approx(examples.objects[row].boxes, abs=1e-4)
