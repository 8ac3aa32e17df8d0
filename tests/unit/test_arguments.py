"""A function's signature as a command line: types, lists, settings, help and errors."""

import functools
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from snakecap import arguments
from snakecap.config.settings import Decoding, Download, Score


def stage(
    *,
    model: Path,
    photos: list[Path],
    output: Path | None = None,
    format: Literal["json", "text"] = "text",
    names: list[str] | None = None,
    downloads: list[Download] | None = None,
    count: int = 3,
    share: float = 0.5,
    loud: bool = False,
    settings: Decoding = Decoding(),
) -> dict:
    """Do something with 100 % of the photos.

    More about it.

    Args:
        model: a model, 100 % whole.
        photos: image files and
            folders.
        output: where it goes.
        format: how it is written.
        names: of the photos.
        downloads: what to fetch.
        count: how many.
        share: which part.
        loud: say so.
        settings: how to search.

    Raises:
        ValueError: never.
    """
    return locals()


def parse(*words, function=stage, positional=("model", "photos")):
    """What `words` give a function."""

    @functools.wraps(function)
    def called(**values):
        return values

    return arguments.call(called, words, "snakecap stage", positional)


def refused(capsys, *words, function=stage):
    with pytest.raises(SystemExit) as caught:
        parse(*words, function=function)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("snakecap stage: error: ") and len(error.splitlines()) == 1
    return error


def test_values_arrive_with_their_types():
    values = parse("m", "a", "b", "--output", "o", "--count", "7", "--share", "0.25", "--loud",
                   "--names", "x", "y", "--format", "json")  # fmt: skip
    assert values == {
        "model": Path("m"),
        "photos": [Path("a"), Path("b")],
        "output": Path("o"),
        "format": "json",
        "names": ["x", "y"],
        "count": 7,
        "share": 0.25,
        "loud": True,
        "settings": Decoding(),
    }


def test_what_is_not_given_is_left_to_the_function():
    assert parse("m", "a").keys() == {"model", "photos", "settings"}


def test_rules_name_every_argument():
    named = parse("--model", "m", "--photos", "a", "b", positional=())
    assert named == parse("m", "a", "b")
    assert parse("m", "--photos=a", positional=("model",)) == parse("m", "a")


def test_lists_of_positionals_leave_the_last_word_to_the_next():
    def score(*, results: list[Path], references: Path, scores: list[Path] | None = None):
        """Score."""

    words = ("a", "b", "r", "--scores", "s", "t")
    values = parse(*words, function=score, positional=("results", "references"))
    assert values["results"] == [Path("a"), Path("b")] and values["references"] == Path("r")
    assert values["scores"] == [Path("s"), Path("t")]


def test_a_list_of_models_is_json():
    values = parse("m", "a", "--downloads", '[{"url": "u", "unpack": true}]')
    assert values["downloads"] == [Download(url="u", unpack=True)]


def test_switches_have_an_opposite():
    assert parse("m", "a", "--loud")["loud"] is True
    assert parse("m", "a", "--no-loud")["loud"] is False
    assert parse("m", "a", "--no-suppress-unknown")["settings"].suppress_unknown is False


def test_a_setting_that_says_no_is_set_by_its_name(capsys):
    """`--no-repeat-words` is not the opposite of a `--repeat-words`, which does not exist."""
    assert parse("m", "a")["settings"].no_repeat_words is False
    assert parse("m", "a", "--no-repeat-words")["settings"].no_repeat_words is True
    assert "Unknown option" in refused(capsys, "m", "a", "--no-no-repeat-words")
    assert "Unknown option" in refused(capsys, "m", "a", "--repeat-words")


def test_settings_come_as_json_as_a_file_and_as_options_of_their_own(tmp_path):
    whole = '{"beam_width": 5, "max_length": 20}'
    expected = Decoding(beam_width=5, max_length=20)
    assert parse("m", "a", "--settings", whole)["settings"] == expected
    for name, text in (("d.json", whole), ("d.yaml", "beam_width: 5\nmax_length: 20\n")):
        (tmp_path / name).write_text(text)
        assert parse("m", "a", "--settings", str(tmp_path / name))["settings"] == expected
    assert parse("m", "a", "--beam-width", "5", "--max-length", "20")["settings"] == expected
    both = parse("m", "a", "--settings", whole, "--beam-width", "9")["settings"]
    assert both == Decoding(beam_width=9, max_length=20)


def test_options_change_the_functions_own_default_settings():
    def other(*, settings: Decoding = Decoding(beam_width=7)):
        """Other."""

    values = parse("--max-length", "5", function=other, positional=())
    assert values["settings"] == Decoding(beam_width=7, max_length=5)


def test_an_argument_may_have_the_name_of_a_table_of_the_settings():
    """`snakecap features --features FILE`: the settings have a table `features` too."""

    class Settings(BaseModel):
        features: dict[str, int] = {}
        size: int = 1

    def other(*, features: Path, settings: Settings = Settings()):
        """Other."""

    other.__annotations__ |= {"settings": Settings}
    values = parse("--features", "f.lmdb", "--size", "2", function=other, positional=())
    assert values == {"features": Path("f.lmdb"), "settings": Settings(size=2)}


def test_a_rules_settings_survive_the_trip(tmp_path):
    """What the plan writes as canonical JSON is what the stage gets."""
    from snakecap.provenance import code

    settings = Score(bootstrap=7, metrics=("CIDEr",))

    def score(*, settings: Score = Score()):
        """Score."""

    text = code.canonical(settings.model_dump(mode="json"))
    values = parse("--settings", text, function=score, positional=())
    assert values["settings"] == settings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "MODEL requires an argument. Give it before the options"),
        (["m", "--names", "a", "b"], "PHOTOS requires an argument. Give it before the options"),
        (["m", "a", "--count", "x"], '--count: unable to convert "x" into int'),
        (["m", "a", "--format", "xml"], '"xml" for --format. Choose from: "json", "text"'),
        (["m", "a", "--coun", "3"], "Unknown option: --coun. Did you mean --count?"),
        (["m", "a", "--coun", "3"], "See snakecap stage --help"),
        (["m", "a", "--beam-width", "x"], '--beam-width: unable to convert "x" into int'),
        (["m", "a", "--beam-width", "0"], "beam_width: Input should be greater than or equal to 1"),
        (["m", "a", "--settings", '{"beam": 3}'], "unknown setting beam; known: "),
        (["m", "a", "--settings", "{"], "--settings is neither JSON nor YAML"),
        (["m", "a", "--settings", "nowhere.yaml"], "--settings is neither JSON nor a file"),
        (["m", "a", "--settings"], "--settings requires an argument"),
        (["m", "a", "--downloads", '[{"uri": "u"}]'], '--downloads: Unknown field "uri" in JSON'),
    ],
)
def test_wrong_words_are_refused_with_a_usage_line(capsys, words, said):
    assert said in refused(capsys, *words)


def test_settings_that_are_a_list_are_refused(capsys, tmp_path):
    (tmp_path / "d.yaml").write_text("- 1\n")
    assert "must be an object" in refused(capsys, "m", "a", "--settings", str(tmp_path / "d.yaml"))


@pytest.mark.parametrize(
    "error", [ValueError("wrong"), FileNotFoundError("gone.json"), RuntimeError("busy")]
)
def test_refused_input_is_one_line_and_exit_code_1(capsys, error):
    def function():
        """Fail."""
        raise error

    with pytest.raises(SystemExit) as caught:
        arguments.call(function, [], "snakecap stage")
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"snakecap stage: error: {error}\n"


@pytest.mark.parametrize("error", [KeyError("x"), NotImplementedError(), RecursionError()])
def test_mistakes_of_ours_keep_their_traceback(error):
    def function():
        """Fail."""
        raise error

    with pytest.raises(type(error)):
        arguments.call(function, [], "snakecap stage")


def test_help_says_everything(capsys):
    parse("--help")
    shown = capsys.readouterr().out
    text = " ".join(shown.replace("│", " ").split())
    for words in (
        "Usage: snakecap stage [OPTIONS] MODEL PHOTOS",
        "Do something with 100 % of the photos. More about it.",
        "image files and folders",
        "a model, 100 % whole",
        "how many. [default: 3]",
        "[choices: json, text]",
        "--loud --no-loud",
        "--beam-width INT",
    ):
        assert words in text, text
    assert "ValueError" not in text


def test_an_argument_with_the_name_of_a_table_of_settings_is_the_argument():
    """`features` writes its argument `features`, and has a table of that name in its settings."""

    class Inner(BaseModel):
        size: int = 1

    class Outer(BaseModel):
        features: Inner = Inner()

    def step(*, features: Path, settings: Outer = Outer()) -> tuple[Path, Outer]:
        return features, settings

    words = ["--features", "a.lmdb", "--settings", '{"features": {"size": 2}}']
    assert arguments.call(step, words, "step") == (Path("a.lmdb"), Outer(features=Inner(size=2)))
