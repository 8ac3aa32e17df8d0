"""What words look at in a grid (D25): alphas from a model to a file, panels and the page."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from report_inputs import embedded, make, run
from systems import GRID, TINY, caption_test, generate, train_on, training

from snakecap.formats import alphas as alpha_files
from snakecap.formats import pictures as records
from snakecap.inference.model import Model
from snakecap.report import attention
from snakecap.steps.photos import photos

SOFT = {"part": "soft_attention", "options": {"hidden_size": 12, "attention_size": 8}}
STAGE = {"name": "all", "finetune_from": "all", "epochs": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Data, and a model that sees the middle 24 of 32 pixels."""
    data = generate(tmp_path_factory.mktemp("data"))
    tiny = {**TINY, "preprocess": {"crop": 24}}
    grid = {"part": "cnn_grid"}
    chosen = training(STAGE, inputs=GRID, encoders=(grid,), decoder=SOFT, backbones={"tiny": tiny})
    return data, train_on(data, data / "model", chosen, [data / "images.h5"])


def test_a_splits_alphas_are_the_decoders_weights(trained, tmp_path):
    data, model = trained
    said, path = tmp_path / "test.json", tmp_path / "test_alphas.npy"
    caption_test(data, model, said, [data / "images.h5"], alphas=path)
    rows, loaded = json.loads(said.read_text()), Model(model, "cpu")
    alphas = alpha_files.read(path, len(rows))
    root = records.read(data / "pictures.json").root
    for row, weights in zip(rows, alphas, strict=True):
        assert row["grid"] == 0.75
        words = [loaded.vocabulary.words.index(word) + 1 for word in row["caption"].split()]
        inputs = loaded.read(photo_of(root / row["file_name"]))
        with torch.no_grad():
            memory = loaded.captioner.prepare(inputs)
            expected = loaded.captioner.decoder.weights(memory, torch.tensor([words]))[0, :-1]
        np.testing.assert_allclose(weights[: len(words)], expected, atol=2e-3)
        np.testing.assert_allclose(weights[: len(words)].sum(1), 1, atol=5e-3)
        assert not weights[len(words) :].any()


def photo_of(path):
    from snakecap.inputs.input import Request

    return Request(photo=path)


def test_photos_get_panels_and_alphas(trained, tmp_path):
    data, model = trained
    folder, root = tmp_path / "seen", records.read(data / "pictures.json").root
    files = sorted(root.rglob("*.jpg"))[:3]
    output = tmp_path / "captions.json"
    photos(model=model, photos=files, output=output, attention=folder, device="cpu")
    rows = json.loads(output.read_text())
    assert len(alpha_files.read(folder / "alphas.npy", 3)) == 3
    assert {path.name for path in folder.glob("*.png")} == {
        f"{at}_{path.stem}.png" for at, path in enumerate(files)
    }
    assert len(rows) == 3


def test_a_model_without_a_grid_has_empty_alphas_and_no_panels(trained, tmp_path):
    data, _ = trained
    model = train_on(data, tmp_path, training(STAGE), [data / "images.h5"])
    path = tmp_path / "alphas.npy"
    caption_test(data, model, tmp_path / "test.json", [data / "images.h5"], alphas=path)
    assert alpha_files.read(path, 5) is None
    root = records.read(data / "pictures.json").root
    photo = next(root.rglob("*.jpg"))
    with pytest.raises(ValueError, match="looks at no grid"):
        photos(model=model, photos=[photo], attention=tmp_path / "seen", device="cpu")


def test_what_a_word_looks_at_stays_and_the_rest_is_dark():
    image = Image.new("RGB", (80, 40), "white")
    weights = np.array([0, 0, 0, 1], np.float16)
    seen = np.asarray(attention.veiled(image, weights, 0.5))[..., 0]
    dark = 255 - attention.DARK
    assert (
        seen[27, 57] == 255 and abs(int(seen[13, 23]) - dark) < 3
    )  # inside: the last cell, the first
    assert seen[2, 2] == seen[38, 78] == dark  # outside of what the grid covers
    even = np.asarray(attention.veiled(image, np.full(4, 0.25, np.float16), 1.0))
    assert (even == 255).all()
    with pytest.raises(ValueError, match="a grid of 3 cells is no square"):
        attention.veiled(image, weights[:3], 1.0)


@pytest.mark.parametrize(("words", "columns", "rows"), [(0, 1, 1), (3, 4, 1), (7, 5, 2)])
def test_there_is_a_panel_for_the_picture_and_one_for_each_word(words, columns, rows):
    image = Image.new("RGB", (20, 20))
    alphas = np.full((8, 4), 0.25, np.float16)
    drawn = attention.draw(image, ["word"] * words, alphas)
    one = attention.draw(image, [], alphas)
    gap = attention.GAP * attention.SCALE
    assert (drawn.width - gap, drawn.height - gap) == (
        columns * (one.width - gap),
        rows * (one.height - gap),
    )


def test_the_page_has_each_words_cells(tmp_path):
    systems = ("sees/all", "blind/all")
    inputs = make(tmp_path, systems, count=4)
    weights = np.random.default_rng(1).dirichlet(np.ones(9), (4, 10)).astype(np.float16)
    paths = [tmp_path / "sees_alphas.npy", tmp_path / "blind_alphas.npy"]
    alpha_files.write(paths[0], weights)
    alpha_files.write(paths[1], None)
    data = embedded(run(tmp_path, inputs, alphas=paths) / "index.html")
    assert ["covers" in row for row in data["systems"]] == [True, False]
    for picture, alphas in zip(data["pictures"], weights, strict=True):
        text, _, _, more = picture["captions"][0]
        assert len(picture["captions"][1]) == 3 and len(more["grid"]) == len(text.split())
        for (percent, letters), row in zip(more["grid"], alphas, strict=False):
            levels = np.array([attention.LEVELS.index(letter) for letter in letters])
            assert abs(percent - 100) <= 1
            np.testing.assert_allclose(levels / 63, row / row.max(), atol=0.5 / 63 + 1e-3)


@pytest.mark.parametrize(
    ("alphas", "words"),
    [
        (np.zeros((3, 5, 4), np.float16), "alphas of 3 captions, the results have 4"),
        (np.zeros((4, 5), np.float16), "not alphas"),
        (np.zeros((4, 5, 4), np.int64), "not alphas"),
        (np.array([{}], dtype=object), r"is no \.npy of numbers"),
        (np.zeros((4, 2, 4), np.float16), "room for 2"),
    ],
)
def test_wrong_alphas_are_named(tmp_path, alphas, words):
    inputs = make(tmp_path, ("sees/all",), count=4)
    path = tmp_path / "alphas.npy"
    np.save(path, alphas, allow_pickle=True)
    with pytest.raises(ValueError, match=words):
        run(tmp_path, inputs, alphas=[path])
