"""What pydantic found wrong, in one line for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, *, kind: str, known: Iterable[str] = ()) -> str:
    """All of them, with their places.

    Args:
        kind: what its fields are called, such as ``option``.
        known: the fields' names, to be listed when one is unknown.
    """
    text = "; ".join(_explain(item, kind) for item in error.errors())
    listed = ", ".join(known)
    unknown = any(item["type"] == "extra_forbidden" for item in error.errors())
    return f"{text}; known: {listed}" if unknown and listed else text


def _explain(item: Any, kind: str) -> str:
    if item["type"] == "extra_forbidden":
        return f"unknown {kind} {'.'.join(map(str, item['loc']))}"
    return describe(item)


def describe(item: Any) -> str:
    """One error: its place, what is wrong, and the value when the message lacks it."""
    place = ".".join(map(str, item["loc"]))
    message = item["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    shown = "" if isinstance(item["input"], dict | BaseModel) else f" (it is {item['input']!r})"
    return f"{place}: {message}{shown}" if place else message
