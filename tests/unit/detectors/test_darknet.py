"""Darknet's files: what is read, that a round trip is exact, and that damage is named."""

import struct

import darknet_oracle as oracle
import numpy as np
import pytest

from snakecap.detectors.darknet_network import Network
from snakecap.formats.darknet import (
    Section,
    parse,
    read_cfg,
    read_names,
    read_weights,
    text_of,
)

SHAPES = [("first", (2,)), ("second", (3, 2)), ("third", (1, 2, 2))]
NUMBERS = np.arange(12, dtype="<f4") - 5


def weights(path, numbers=NUMBERS, header=b"\0\0\0\0\2\0\0\0\5\0\0\0" + bytes(8)):
    path.write_bytes(header + numbers.tobytes())
    return path


def test_sections_and_options_in_order():
    sections = parse(
        "[net]\nb = 1 \n# a=2\n; c=3\n\na=.1, .2\n[ convolutional ]\n[maxpool]\nsize=2"
    )
    assert sections == (
        Section("net", {"b": "1", "a": ".1,.2"}),
        Section("convolutional", {}),
        Section("maxpool", {"size": "2"}),
    )
    assert [section.place for section in sections] == ["cfg:1", "cfg:7", "cfg:8"]
    assert list(sections[0].options) == ["b", "a"]
    assert sections[0].numbers("a") == (0.1, 0.2) and sections[0].whole("b", 7) == 1
    assert sections[1].numbers("a", "4,5") == (4, 5) and sections[1].whole("b", 7) == 7


def test_the_first_of_two_equal_keys_counts():
    """option_list.c looks from the front."""
    assert parse("[net]\nwidth=1\nwidth=2")[0].whole("width", 0) == 1


@pytest.mark.parametrize("template", [oracle.PASSAGE, oracle.TINY])
def test_a_cfg_survives_writing(template, tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text(oracle.text(template, 3))
    sections = read_cfg(path)
    written = text_of(sections)
    assert parse(written) == sections
    assert text_of(parse(written)) == written
    path.write_text("\ufeff" + oracle.text(template, 3))  # some editors put a mark there
    assert read_cfg(path) == sections
    assert sections[1].place == f"{path}:{9 if template is oracle.PASSAGE else 6}"


@pytest.mark.parametrize(
    ("text", "line"), [("a=1\n[net]", 1), ("[net]\nwidth", 2), ("[net\n", 1), ("[net]\n\n=3", 3)]
)
def test_a_line_that_is_none_is_named(text, line):
    with pytest.raises(ValueError, match=f"x.cfg:{line}: .* is not a line of a darknet .cfg"):
        parse(text, "x.cfg")


def test_a_value_that_is_no_number_is_named(tmp_path):
    section = parse("[net]\n[convolutional]\nfilters=many\nanchors=1,2x", "x.cfg")[1]
    with pytest.raises(ValueError, match=r"x.cfg:2: \[convolutional\] filters: .*many"):
        section.whole("filters", 1)
    with pytest.raises(ValueError, match=r"x.cfg:1: \[maxpool\] stride: .*greater than or equal"):
        parse("[maxpool]\nstride=0", "x.cfg")[0].whole("stride", 1)
    assert parse("[convolutional]\npad=0", "x.cfg")[0].whole("pad", 1, least=0) == 0
    with pytest.raises(ValueError, match=r"x.cfg:2: \[convolutional\] anchors: .*2x"):
        section.numbers("anchors")
    (tmp_path / "binary.cfg").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"binary.cfg is not a text file"):
        read_cfg(tmp_path / "binary.cfg")
    with pytest.raises(FileNotFoundError, match=r"nothing.cfg"):
        read_cfg(tmp_path / "nothing.cfg")


def test_names_are_spelt_as_cocos(tmp_path):
    path = tmp_path / "voc.names"
    path.write_text("aeroplane\n\n my thing \ntvmonitor\n")
    assert read_names(path) == ("airplane", "my thing", "tv")
    path.write_text("tv\ntvmonitor\n")
    with pytest.raises(ValueError, match=r"voc.names has a category twice"):
        read_names(path)


@pytest.mark.parametrize(
    ("major", "minor", "wide"),
    [(0, 0, 0), (0, 1, 0), (0, 2, 1), (0, 5, 1), (1, 0, 1), (1001, 0, 0), (0, 1001, 0)],
)
def test_newer_files_count_their_pictures_in_eight_bytes(tmp_path, major, minor, wide):
    """parser.c: major * 10 + minor >= 2, both below 1000."""
    seen = 2**40 + 3 if wide else 2**31 + 3
    data = struct.pack("<iii", major, minor, 7) + struct.pack("<Q" if wide else "<I", seen)
    path = tmp_path / "a.weights"
    path.write_bytes(data + NUMBERS.tobytes())
    arrays = read_weights(path, SHAPES)
    assert np.array_equal(np.concatenate([a.ravel() for a in arrays.values()]), NUMBERS)


@pytest.mark.parametrize("template", [oracle.PASSAGE, oracle.TINY])
@pytest.mark.parametrize("version", [(0, 1), (0, 2)])
def test_a_network_holds_the_numbers_that_it_read(template, version, tmp_path):
    layers = oracle.random_weights(template, 3)
    path = tmp_path / "a.weights"
    path.write_bytes(oracle.weights_file(layers, *version, seen=32_013_312))
    network = Network(parse(oracle.text(template, 3)))
    shapes = [(name, tuple(tensor.shape)) for name, tensor in network.arrays().items()]
    network.take(read_weights(path, shapes))
    held = [tensor.detach().numpy() for tensor in network.arrays().values()]
    for ours, theirs in zip(held, [v for layer in layers for v in layer], strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("kept", [0, 7, 8, 31, 47])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "a.weights"
    data = weights(path).read_bytes()
    path.write_bytes(data[: 20 + kept])
    with pytest.raises(ValueError, match=rf"a.weights has {kept} bytes .* takes 48"):
        read_weights(path, SHAPES)


@pytest.mark.parametrize("extra", [1, 4, 40])
def test_a_file_that_is_too_long_is_refused(tmp_path, extra):
    path = weights(tmp_path / "a.weights")
    path.write_bytes(path.read_bytes() + bytes(extra))
    with pytest.raises(ValueError, match=rf"has {48 + extra} bytes .* takes 48"):
        read_weights(path, SHAPES)


@pytest.mark.parametrize("length", [0, 11, 12, 19])
def test_a_file_without_a_header_is_refused(tmp_path, length):
    path = tmp_path / "a.weights"
    path.write_bytes(weights(path).read_bytes()[:length])
    with pytest.raises(ValueError, match=rf"has {length} bytes: too few"):
        read_weights(path, SHAPES)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(tmp_path, value):
    numbers = NUMBERS.copy()
    numbers[4] = value
    with pytest.raises(ValueError, match="second holds a number that is not finite"):
        read_weights(weights(tmp_path / "a.weights", numbers), SHAPES)


def test_a_negative_variance_is_refused(tmp_path):
    """Its square root would be NaN, and nothing would ever be seen."""
    shapes = (("layer 1's means", (3,)), ("layer 1's variances", (9,)))
    path = weights(tmp_path / "a.weights", np.arange(11, -1, -1, dtype="<f4") - 0.5)
    with pytest.raises(ValueError, match="layer 1's variances holds a negative variance"):
        read_weights(path, shapes)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*a.weights"):
        read_weights(tmp_path / "a.weights", SHAPES)
