"""What is said of an option, in English and in Chinese: once, in its field, for the help, the tables and the docs."""

from __future__ import annotations

from dataclasses import MISSING, field
from typing import Any


def about(
    chinese: str,
    *,
    group: str,
    default: tuple[str, str] | None = None,
    file_only: bool = False,
) -> dict[str, Any]:
    """Return ``json_schema_extra`` of a pydantic field, whose ``description`` says the same in English.

    Args:
        chinese: when to use the option.
        group: the table that it stands in.
        default: what is used where it is not given, in English and Chinese, if the field's own default does not say it.
        file_only: whether it is for the file of options and for Python only: options that few ever need.
    """
    return {"chinese": chinese, "group": group, "default_text": default, "file_only": file_only}


def in_chinese(said: str) -> dict[str, Any]:
    """Return ``json_schema_extra`` of an option of a command that has no groups."""
    return about(said, group="")


def key(english: str, chinese: str, default: Any = MISSING) -> Any:
    """Return a dataclass field that is a key of a table in the file of options, with what is said of it.

    Args:
        english: what it is for, or when to use it.
        chinese: the same.
        default: what it is where the table does not give it; left out: it must be given.
    """
    return field(default=default, metadata={"english": english, "chinese": chinese})
