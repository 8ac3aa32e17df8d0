"""What all settings share: immutable rows, checked, and the types of their fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _not_a_switch(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number, not true or false")
    return value


Fraction = Annotated[float, Field(ge=0, le=1)]
Above = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_not_a_switch)]
Count = Annotated[int, Field(ge=0), BeforeValidator(_not_a_switch)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), BeforeValidator(_not_a_switch)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # a row's: it becomes a folder's
Split = Literal["train", "val", "test", "extra"]
Precision = Annotated[
    Literal["float32", "bfloat16", "auto"],
    Field(
        description="of matrix products; auto: bfloat16 on GPUs, and on CPUs that compute it "
        "(AVX512-BF16, AMX); sums, losses and probabilities are in float32"
    ),
]


class SettingsError(ValueError):
    """A setting is unknown, of the wrong type or out of range; the message says which."""


class NoEffect:
    """Marks a setting that changes no result, ``Annotated[int, NoEffect]``."""


class Section(BaseModel):
    """Base of all settings: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )

    def identity(self) -> dict[str, Any]:
        """What results depend on: a change of the rest makes nothing run again."""
        left_out = self.unread()
        return {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if NoEffect not in field.metadata and name not in left_out
        }

    def unread(self) -> set[str]:
        """Settings that have no effect because of others, such as those of what is switched off."""
        return set()
