"""What a folder must hold after a run, and what it must not."""

import json

import lmdb

VOLATILE = {"seconds", "throughput", "pictures_per_second", "speed", "peak_memory"}


def content(path, out):
    """What must be equal: bytes, but for times, absolute paths and LMDB's order of pages."""
    if path.suffix == ".lmdb":
        store = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
        with store, store.begin() as transaction:
            return dict(transaction.cursor())
    if path.suffix == ".json":
        value = json.loads(path.read_text().replace(str(out), "OUT"))
        if isinstance(value, dict):
            return {key: part for key, part in value.items() if key not in VOLATILE}
        return value
    return path.read_bytes()


def files(out):
    """All files that are not hidden, by their names."""
    found = [path for path in out.rglob("*") if path.is_file() and not hidden(path, out)]
    return {str(path.relative_to(out)): content(path, out) for path in found}


def hidden(path, out):
    return any(part.startswith(".") for part in path.relative_to(out).parts)


def check_parts(out, expected, live=("history.json", "detector_history.json")):
    """Whatever has its final name is final; a history grows while training."""
    for name, value in expected.items():
        path = out / name
        if path.exists() and name not in live:
            assert content(path, out) == value, f"{name} is not what it will be"
        elif path.exists():
            json.loads(path.read_text())


def check_tidy(out):
    """Nothing is left but locks that nobody holds, and links to what was made."""
    rest = [path for path in out.rglob("*") if path.is_file() and hidden(path, out)]
    odd = [
        path
        for path in rest
        if not path.name.endswith((".lock", ".unpacked.json")) and ".made" not in str(path)
    ]
    assert not odd, odd
    assert not list(out.rglob("*.part*"))
