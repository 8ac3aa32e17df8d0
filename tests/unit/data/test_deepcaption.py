"""DeepCaption's data sets (spec D1-D5): its configuration, and what each of its classes reads."""

import json
import zipfile
from pathlib import Path

import pytest
from test_readers import KEPT, dump, make_coco, make_picsom, make_trecvid, make_vg_regions, touch
from test_readers import MAKERS as FIXTURES

from snakecap.config.settings import Dataset
from snakecap.data import deepcaption, msrvtt, picsom, trecvid, vg_paragraphs, vg_regions, vist
from snakecap.formats import pictures as records
from snakecap.formats.pictures import Region
from snakecap.provenance import identity
from snakecap.steps.annotations import annotations

COCO = """
[coco]
dataset_class = CocoDataset
root_dir = coco
image_dir = nowhere
[coco:train2014]
caption_path = annotations/captions_train2014.json
image_dir = train2014
[coco:train2014:no_resize]
IMAGE_DIR = original
[coco:val2014]
caption_path = annotations/captions_val2014.json
image_dir = val2014
"""


def configure(root, text, name="datasets/datasets.conf"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def read(root, train, **more):
    return deepcaption.read(root, sections={"train": train}, **more)


def files(collection):
    return [picture.file for picture in collection.pictures]


# The configuration.


def test_a_section_inherits_what_it_does_not_say(tmp_path):
    """Spec D1."""
    make_coco(tmp_path / "coco")
    configure(tmp_path, COCO)
    assert files(read(tmp_path, "coco:train2014")) == [f"train2014/000{i}.jpg" for i in (9, 4, 6)]
    assert files(read(tmp_path, "coco:train2014:no_resize"))[0] == "original/0009.jpg"
    with pytest.raises(
        ValueError, match=r"\[coco:x\]: there is no section 'coco:x'; .*coco:val2014"
    ):
        read(tmp_path, "coco:x")
    with pytest.raises(ValueError, match=r"\[coco\]: caption_path is missing"):
        read(tmp_path, "coco")
    with pytest.raises(ValueError, match=r"datasets\.conf has generic, coco, coco:train2014"):
        deepcaption.read(tmp_path)


def test_what_is_wrong_names_the_section(tmp_path):
    configure(
        tmp_path,
        """
        [one]
        dataset_class = PicSOMDataset
        subset = train
        picsom_root = none
        [two]
        dataset_class = CocoDataset
        root_dir = ~nobody-of-this-name/x
        caption_path = x.json
        [three]
        dataset_class = CocoDataset
        root_dir = 100%
        """,
    )
    for name, message in (
        ("one", r"\[one\]: root_dir is missing, or a database in the name"),
        ("two", r"\[two\]: .*home"),
        ("three", r"\[three\]: caption_path is missing"),
    ):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, name)


@pytest.mark.parametrize("name", ["classes/train", "textdumps/gt-cooked.txt"])
def test_picsoms_text_that_is_not_utf8_is_named(tmp_path, name):
    options = make_picsom(tmp_path)
    with (tmp_path / name).open("ab") as file:
        file.write(b"\xe9\n")
    with pytest.raises(ValueError, match=f"{name} is not UTF-8"):
        picsom.read(tmp_path, **options)


@pytest.mark.parametrize("frame", ["{number.x}", "{number[0]}"])
def test_a_frame_is_named_by_its_number_alone(tmp_path, frame):
    FIXTURES["msrvtt"](tmp_path)
    with pytest.raises(ValueError, match="the option frame is"):
        msrvtt.read(tmp_path, frame=frame)


def test_where_the_configuration_is_looked_for(tmp_path, monkeypatch):
    """Spec D2: here first, then at home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make_coco(tmp_path / "coco")
    with pytest.raises(FileNotFoundError, match=r"neither .*datasets\.conf nor .*image_captioning"):
        read(tmp_path, "coco:train2014")
    absolute = COCO.replace("root_dir = coco", f"root_dir = {tmp_path / 'coco'}")
    configure(tmp_path / "home/.config/image_captioning", absolute)
    assert len(read(tmp_path / "coco", "coco:train2014").pictures) == 3
    configure(tmp_path / "coco", absolute.replace("captions_train2014", "captions_val2014"))
    assert len(read(tmp_path / "coco", "coco:train2014").pictures) == 2
    assert (
        len(read(tmp_path / "coco", "coco:train2014", config="datasets/datasets.conf").pictures)
        == 2
    )


def test_several_sections_are_put_together(tmp_path):
    """Spec D3."""
    make_coco(tmp_path / "coco")
    configure(tmp_path, COCO)
    both = read(tmp_path, "coco:train2014+coco:val2014")
    assert len(both.pictures) == 5 and {picture.split for picture in both.pictures} == {"train"}
    apart = deepcaption.read(tmp_path, sections={"val": "coco:train2014", "test": "coco:val2014"})
    assert [p.split for p in apart.pictures] == ["val"] * 3 + ["test"] * 2
    assert both.root == apart.root == tmp_path / "coco"


def test_ids_that_collide_have_their_sections_name(tmp_path):
    FIXTURES["deepcaption"](tmp_path)
    rows = [{"image_id": 9, "paragraph": "x"}]
    dump(tmp_path / "vg/paragraphs_v1.json", rows)
    dump(tmp_path / "vg/train_split.json", [9])
    found = {p.id: p.file for p in read(tmp_path, "coco:train2014+vgim2p:train").pictures}
    assert found["vgim2p:train:9"] == "vg/VG_100K/9.jpg"
    assert found["coco:train2014:9"] == "coco/train2014/0009.jpg"


@pytest.mark.parametrize("inside", ["train2014/", ""])
def test_a_zip_is_a_folder(tmp_path, inside):
    """Spec D5; unpacked once, and again when it is another."""
    make_coco(tmp_path / "coco")
    configure(tmp_path, COCO.replace("train2014\n[", "packed/train2014.zip\n["))
    archive = tmp_path / "coco/packed/train2014.zip"
    archive.parent.mkdir()

    def pack(content):
        with zipfile.ZipFile(archive, "w") as file:
            for i in (9, 4, 6):
                file.writestr(f"{inside}000{i}.jpg", content)

    pack("x")
    found = read(tmp_path, "coco:train2014")
    photo = found.root / found.pictures[0].file
    assert photo.read_text() == "x"
    photo.write_text("mine")
    read(tmp_path, "coco:train2014")
    assert photo.read_text() == "mine", "not unpacked anew"
    pack("other")
    read(tmp_path, "coco:train2014")
    assert photo.read_text() == "other"


def test_captions_of_2017_with_pictures_of_2014(tmp_path):
    make_coco(tmp_path / "coco")
    (tmp_path / "coco/val2014/0005.jpg").rename(tmp_path / "coco/val2014/COCO_val2014_0005.jpg")
    configure(tmp_path, COCO)
    found = files(read(tmp_path, "coco:val2014"))
    assert found == ["val2014/COCO_val2014_0005.jpg", "val2014/0002.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset_class = x", "no configuration"),
        ("[a]\ndataset_class = Other\n", r"\[a\]: dataset_class is 'Other'; known: CocoDataset"),
        ("[a]\n", r"\[a\]: dataset_class is ''"),
        ("[a]\ndataset_class = IncoreDataset\n", "dataset_class is 'IncoreDataset'"),
        ("[a]\ndataset_class = PicSOMDataset\nroot_dir = x\n", r"\[a\]: subset is missing"),
        (
            "[a]\ndataset_class = VisualGenomeRegionsDataset\ncaption_path = r.feather\n",
            "region_descriptions",
        ),
    ],
)
def test_configurations_that_cannot_be_used(tmp_path, text, message):
    configure(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "a")


def test_a_job_depends_on_what_the_sections_read(tmp_path):
    options = FIXTURES["deepcaption"](tmp_path)
    row = Dataset(reader="deepcaption", options=options)
    before = identity.source_digest(row, tmp_path)
    dump(tmp_path / "vg/train_split.json", [7, 8])
    assert identity.source_digest(row, tmp_path) != before


# Its classes, through its configuration.


def test_every_class_is_read_through_the_configuration(tmp_path):
    """Spec D4: (id, file, captions) of three items and more."""
    for name in ("vg_regions", "vist", "msrvtt", "trecvid", "picsom", "vg_paragraphs"):
        (tmp_path / name).mkdir()
        FIXTURES[name](tmp_path / name)
    configure(
        tmp_path,
        """
        [regions]
        dataset_class = VisualGenomeRegionsDataset
        root_dir = vg_regions
        caption_path = region_descriptions.json
        image_dir = VG_100K
        [regions:train]
        subset = splits.json:train
        [vist]
        dataset_class = VistDataset
        root_dir = vist
        caption_path = train.story-in-sequence.json
        [msrvtt]
        dataset_class = MSRVTTDataset
        root_dir = msrvtt
        image_dir = frames/
        caption_path = train_val_videodatainfo.json
        [msrvtt:validate]
        split = validate
        [trecvid2018]
        dataset_class = TRECVID2018Dataset
        root_dir = trecvid
        [picsom]
        dataset_class = PicSOMDataset
        picsom_root = none
        [picsom:db]
        root_dir = picsom
        caption_path = textdumps/gt-cooked.txt
        [picsom:db:train]
        subset = train
        [im2p]
        dataset_class = VisualGenomeIM2PDataset
        root_dir = vg_paragraphs
        caption_path = paragraphs_v1.json
        image_dir = VG_100K
        [generic]
        image_dir = vist
        """.replace("\n        ", "\n"),
    )
    found = {
        "regions": [(7, "VG_100K/7.jpg"), (8, "VG_100K/8.jpg"), (9, "VG_100K/9.jpg")],
        "regions:train": [(7, "VG_100K/7.jpg")],
        "vist": [("7", "7.jpg")],
        "msrvtt": [(7, "frames/0007:kf1.jpeg"), (9, "frames/0009:kf1.jpeg")],
        "msrvtt:validate": [(8, "frames/0008:kf1.jpeg")],
        "trecvid2018": [(2, "2:2.jpeg"), (3, "3:1.jpeg"), (12, "12:7.jpeg")],
        "picsom:db:train": [("00000001", "00000001"), ("00000004", "00000004")],
        "im2p": [(i, f"VG_100K/{i}.jpg") for i in (7, 8, 9)],
        "generic": [(1, "vist/10.jpg"), (2, "vist/7.jpg"), (3, "vist/9.png")],
    }
    for name, wanted in found.items():
        collection = read(tmp_path, name)
        assert [(p.id, p.file) for p in collection.pictures] == wanted, name
        silent = name in ("trecvid2018", "generic")
        assert all(p.captions == (() if silent else KEPT) for p in collection.pictures), name


def test_it_is_a_data_set_of_the_workflow(tmp_path):
    row = Dataset(
        reader="deepcaption", root=str(tmp_path), options=FIXTURES["deepcaption"](tmp_path)
    )
    annotations(pictures=tmp_path / "pictures.json", folder=tmp_path, settings=row)
    found = records.read(tmp_path / "pictures.json")
    assert [len(found.split(name)) for name in ("train", "val")] == [4, 2]


# Each reader's own.


def test_a_region_is_a_phrase_with_a_box_and_a_caption(tmp_path):
    pictures = vg_regions.read(tmp_path, **make_vg_regions(tmp_path)).pictures
    assert [(p.id, p.file, p.split) for p in pictures] == [
        (7, "VG_100K/7.jpg", "train"),
        (8, "VG_100K/8.jpg", "val"),
        (9, "VG_100K_2/9.jpg", "test"),
    ]
    assert pictures[0].regions == tuple(Region(text, (1, 2, 3, 4.5)) for text in KEPT)
    path = tmp_path / "region_descriptions.json"
    for wrong, message in (
        ([{"regions": []}], "neither id nor image_id"),
        ([{"id": 7, "regions": [{"phrase": "x", "x": 1}]}], r"\d\.regions\.\d\.y: Field required"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=rf"region_descriptions\.json.*{message}"):
            vg_regions.read(tmp_path)


def test_paragraphs_and_their_lists(tmp_path):
    FIXTURES["vg_paragraphs"](tmp_path)
    assert {p.id: p.split for p in vg_paragraphs.read(tmp_path).pictures} == {
        7: "train",
        8: "test",
        9: "val",
    }
    assert {p.split for p in vg_paragraphs.read(tmp_path, lists={}).pictures} == {"train"}
    dump(tmp_path / "mine.json", [7, 8])
    with pytest.raises(ValueError, match=r"val_split\.json: 9|mine\.json: 7 is in 'train' too"):
        vg_paragraphs.read(tmp_path, lists={"train": "train_split.json", "val": "mine.json"})


def test_photos_that_are_gone_from_flickr_are_left_out(tmp_path, caplog):
    FIXTURES["vist"](tmp_path)
    found = {p.id: (p.file, p.split) for p in vist.read(tmp_path, images="").pictures}
    assert found == {
        "7": ("7.jpg", "train"),
        "9": ("9.png", "val"),
        "10": ("10.jpg", "test"),
    }
    assert "1 of 2 photos are not in" in caplog.text
    assert len(vist.read(tmp_path, images=None).pictures) == 4


def test_a_video_without_a_sentence_and_other_mistakes(tmp_path):
    FIXTURES["msrvtt"](tmp_path)
    path = tmp_path / "train_val_videodatainfo.json"
    content = json.loads(path.read_text())
    dump(path, {**content, "sentences": content["sentences"][1:3]})
    with pytest.raises(ValueError, match="picture 'video7' has no captions"):
        msrvtt.read(tmp_path)
    with pytest.raises(ValueError, match=r"the option frame is '\{id\}\.jpg': \{number\} alone"):
        msrvtt.read(tmp_path, frame="{id}.jpg")
    dump(path, {**content, "videos": [{"video_id": "clip7", "split": "train"}]})
    with pytest.raises(ValueError, match=r"videodatainfo.*videos\.0\.video_id"):
        msrvtt.read(tmp_path)


def test_two_frames_of_a_video(tmp_path):
    make_trecvid(tmp_path)
    touch(tmp_path / "3:2.jpeg")
    with pytest.raises(ValueError, match=r"3:1\.jpeg and 3:2\.jpeg are of one video"):
        trecvid.read(tmp_path)


def test_picsoms_classes_and_texts(tmp_path, caplog):
    options = make_picsom(tmp_path)
    found = [(p.id, p.split) for p in picsom.read(tmp_path, **options).pictures]
    assert found == [("00000001", "train"), ("00000004", "train"), ("00000002", "val")]
    assert "1 of 4 labels have no text" in caplog.text
    assert len(picsom.read(tmp_path, texts=None, **options).pictures) == 4
    classes = Path(tmp_path / "classes")
    (classes / "val").write_text("00000001\n")
    with pytest.raises(ValueError, match=r"classes/val: 00000001 is in 'train' too"):
        picsom.read(tmp_path, **options)
    (classes / "second").write_text("# METACLASSFILE\ntrain\n")
    with pytest.raises(ValueError, match="classes/train lists itself"):
        picsom.read(tmp_path, **options)
    (classes / "second").unlink()
    with pytest.raises(FileNotFoundError, match=r"does not hold classes/second: .*option `splits`"):
        picsom.read(tmp_path, **options)
