"""What a job's result is a function of: settings, code, lock file, and the contents of its inputs.

ONE identity, asked by all that tells jobs apart: Snakemake compares what is known before the inputs
are there (`params`); the folder that a killed job resumes from, the taking over of what a process
before made, and the shared folder go by all of it (`Job.key`); the record beside a result writes it
down. Paths are not in it, nor what changes no result.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, get_type_hints

from snakecap import registry
from snakecap.config import options
from snakecap.config.base import Section
from snakecap.config.data import Dataset
from snakecap.formats.pictures import SPLITS
from snakecap.provenance import code, outputs, sidecar

# Where and how fast, not what: of a step's arguments, those that are not in its identity.
CHANGES_NOTHING = {"device", "threads", "workers", "batch_size", "readme", "root", "folder"}
Given = ParamSpec("Given")
Values = Mapping[str, Any]
Inputs = list[tuple[str, Path]]


class Output(NamedTuple):
    """Marks an argument that a step writes, ``Annotated[Path, Output]``.

    Attributes:
        beside: the suffix of a second file that it writes beside it.
    """

    beside: str | None = None


class Photos:
    """Marks a pictures.json whose photos a step looks at, ``Annotated[Path, Photos]``."""


def step(function: Callable[Given, None]) -> Callable[Given, None]:
    """Make a function a step: while it runs, `work_folder` knows which job it is.

    Args:
        function: from files to files, all of whose parameters are keywords.
    """

    @functools.wraps(function)
    def run(*args: Given.args, **given: Given.kwargs) -> None:
        job = _current.get()
        if job is not None and job.step == function.__name__:  # a rule's, begun by `running`
            function(*args, **given)
        else:
            with running(Job(function, given)):
                function(*args, **given)

    return run


def params(name: str, value: Any, parts: Iterable[str] = ()) -> dict[str, str]:
    """What Snakemake compares of a job: as plain text, for it compares nothing else.

    Args:
        parts: ``module:object`` of what it imports by name.
    """
    names = ",".join([f"{code.SCRIPTS}.{name}", *sorted(set(parts))])
    return {
        "code": f"{names}={code.digest(*names.split(','))}",
        "lock": code.lock_digest(),
        "settings": settings(value),
    }


def settings(value: Any) -> str:
    """Settings as far as they change a result: typed, complete, and files by their contents."""
    return code.canonical(_portable(value))


class Job:
    """A step about to run: what it writes, what it reads, and its identity."""

    def __init__(
        self, function: Callable[..., Any], given: Values, rule: Mapping[str, str] | None = None
    ):
        """Prepare; reads no file.

        Args:
            rule: ``code``, ``lock`` and ``photos`` as its rule says them; None: it was called by
                hand.
        """
        bound = inspect.signature(function).bind(**given)
        bound.apply_defaults()
        self.step, self.rule = function.__name__, rule
        self.values: dict[str, Any] = bound.arguments
        self.settings = self.values.get("settings", self.values.get("downloads") or {})
        marks = dict(marked(function))
        self.outputs = dict(_outputs(self.values, marks))
        self.inputs: Inputs = list(_inputs(self.values, marks, self.settings))
        self._pictures = next((name for name, mark in marks.items() if mark is Photos), None)

    def check_apart(self) -> None:
        """Refuse an output that is an input too, or another output.

        Raises:
            ValueError: names the file and the arguments.
        """
        seen: dict[Path, str] = {}
        for name, path in [*self.inputs, *self.outputs.items()]:
            before = seen.setdefault(path.resolve(), name)
            if before != name and path in self.outputs.values():
                raise ValueError(
                    f"{path} is given as {before} and as {name}: give one another name"
                )

    @property
    def code(self) -> str:
        """``MODULES=DIGEST``, as the rule says."""
        name = f"snakecap.steps.{self.step}"
        return self.rule["code"] if self.rule else f"{name}={code.digest(name)}"

    @property
    def arguments(self) -> dict[str, Any]:
        files = {name for name, _ in self.inputs} | {*self.outputs, "settings", "downloads"}
        rest = {name: plain(value) for name, value in self.values.items() if name not in files}
        return {name: value for name, value in rest.items() if value is not None}

    def key(self, *, photos: bool = True) -> dict[str, Any]:
        """The identity; of the photos their names, sizes and times.

        Args:
            photos: False: whatever they are.
        """
        rest = {n: v for n, v in self.arguments.items() if n not in CHANGES_NOTHING}
        return {
            "step": self.step,
            "code": self.code,
            "lock": self.rule["lock"] if self.rule else code.lock_digest(),
            "settings": settings(self.settings),
            "arguments": rest,
            "inputs": sorted(
                [name, self._content(name, path)]
                for name, path in self.inputs
                if name != "settings"  # whose files are in there by their contents
            ),
            "photos": sidecar.look(*self._photos()).signature if photos and self.looks else None,
        }

    @functools.cached_property
    def looks(self) -> bool:
        """Whether it opens the photos that its pictures.json lists."""
        from snakecap.formats import pictures

        if self._pictures is None or getattr(self.settings, "reads_images", True):
            return self._pictures is not None
        rows = pictures.read(self.values[self._pictures]).pictures
        return not all(row.width and row.height for row in rows)  # else for their sizes

    def photos(self) -> dict[str, Any] | None:
        """The photos as one input, for a record: every byte of them."""
        if not self.looks:
            return None
        earlier = [sidecar.read(path) or {} for _, path in self.inputs]
        rows = [row for one in earlier for row in one.get("inputs", [])]
        known = [row for row in rows if row["argument"] == "photos"]
        root, names = self._photos()
        state = sidecar.photos(root, names, known)
        # What a job of the same run wrote has another signature than Snakemake compared.
        compared = {"compared": self.rule.get("photos", "")} if self.rule else {}
        return {"argument": "photos", "path": str(root), **state, **compared}

    def _photos(self) -> tuple[Path, list[str]]:
        from snakecap.formats import pictures

        assert self._pictures is not None, "it looks at photos"
        collection = pictures.read(self.values[self._pictures])
        root = self.values.get("root") or collection.root
        return root, [picture.file for picture in collection.pictures]

    def _content(self, name: str, path: Path) -> str:
        """An input's checksum; of pictures.json not the root, for which the photos stand."""
        if name != self._pictures:
            return sidecar.digest(path)
        from snakecap.formats.atomic import read_json

        value = read_json(path)
        return code.hashed([value["pictures"], value.get("categories")])


_current: ContextVar[Job | None] = ContextVar("job", default=None)


@contextlib.contextmanager
def running(job: Job) -> Iterator[None]:
    """Make a job the one that `work_folder` is asked for."""
    before = _current.set(job)
    try:
        yield
    finally:
        _current.reset(before)


@contextlib.contextmanager
def work_folder(output: Path, *more: Any, photos: bool = True) -> Iterator[Path]:
    """The folder of the job at work for state to resume from (`outputs.work_folder`).

    Args:
        more: what else its state depends on; a JSON value.
        photos: False: the step itself tells what it made of other photos.
    """
    job = _current.get()
    assert job is not None, "only a `step` has one"
    with outputs.work_folder(output, job.key(photos=photos), *more) as folder:
        yield folder


def marked(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """The arguments of a function that have a mark, and the mark."""
    for name, hint in get_type_hints(function, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            if mark in (Output, Photos) or isinstance(mark, Output):
                yield name, mark


def sources(row: Dataset, root: Path) -> tuple[list[Path], list[str]]:
    """The files in `root` that a data set's reader reads, and the names that it lists there."""
    if not options.defines("dataset", row.reader, "sources"):
        return [], []
    find = import_module(registry.module("dataset", row.reader)).sources
    try:
        found = set(find(root, options.complete("dataset", row.reader, row.options)))
    except (OSError, ValueError):  # which the reader explains
        return [], []
    files = sorted(one for one in found if isinstance(one, Path) and one.is_file())
    return files, sorted(one for one in found if isinstance(one, str))


def source_digest(row: Dataset, root: Path) -> str:
    """What `sources` are: by content, not by date, for a copy must not train everything again."""
    files, names = sources(row, root)
    sums = [[os.path.relpath(path, root), sidecar.digest(path)] for path in files]
    return code.hashed([sums, names])[:16]


def plain(value: Any) -> Any:
    """As JSON holds it."""
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def named(value: Any) -> Iterator[Path]:
    """Files that settings name: weights, results, lists of categories."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from named(item)
    else:
        yield from _files(value)


def _portable(value: Any) -> Any:
    if isinstance(value, Section):
        return _portable(value.identity())
    if isinstance(value, Mapping):
        return {str(key): _portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    files = _files(value)
    return [f"sha256:{sidecar.digest(path)}" for path in files] if files else plain(value)


def _files(value: Any) -> list[Path]:
    """The files that a setting names; ``{split}`` in it stands for several."""
    if not isinstance(value, str) or not ("." in value or "/" in value) or len(value) > 4096:
        return []
    paths = [Path(value.replace("{split}", name)).expanduser() for name in SPLITS]
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def _outputs(values: Values, marks: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for name, mark in marks.items():
        value = values.get(name)
        if mark is Photos or value is None:
            continue
        if isinstance(value, list):
            yield from ((f"{name}{at}", path) for at, path in enumerate(value))
        else:
            yield name, value
        if isinstance(mark, Output) and mark.beside:
            yield f"{name}_{mark.beside.strip('.')}", value.with_suffix(mark.beside)


def _inputs(values: Values, marks: Mapping[str, Any], given: Any) -> Iterator[tuple[str, Path]]:
    """The files that a step reads, and which argument names them."""
    written = {name for name, mark in marks.items() if mark is not Photos} | {"readme"}
    for name, value in values.items():
        for path in value if isinstance(value, list) else [value]:
            if name not in written and isinstance(path, Path) and path.is_file():
                yield name, path
    yield from (("settings", path) for path in named(plain(given)))
    if isinstance(given, Dataset):
        root = values["folder"] if given.root is None else Path(given.root).expanduser()
        yield from (("sources", path) for path in sources(given, root)[0])
