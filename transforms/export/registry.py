"""The formats that there are, by name. A new one is a file like those of ``formats/``, and its line here."""

from __future__ import annotations

from hardneg.errors import OptionError, parameter
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.formats.flagembedding import FlagEmbedding
from hardneg.transforms.export.formats.labeled_list import LabeledList
from hardneg.transforms.export.formats.labeled_pair import LabeledPair
from hardneg.transforms.export.formats.n_tuple import NTuple
from hardneg.transforms.export.formats.pylate import PyLate
from hardneg.transforms.export.formats.triplet import Triplet

_formats: dict[str, Format] = {}


def register_format(form: Format) -> None:
    """Make a format known to ``export``, ``mine --format`` and ``audit``; one of the same name is replaced."""
    _formats[form.name] = form


for _built_in in (Triplet(), NTuple(), LabeledPair(), LabeledList(), FlagEmbedding(), PyLate()):
    register_format(_built_in)


def export_formats() -> dict[str, Format]:
    """Return the formats by name, in the order in which they were registered."""
    return dict(_formats)


def format_named(name: str) -> Format:
    """Return a format.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in _formats:
        names = ", ".join(_formats)
        raise OptionError(f"{parameter('format')} {name}: there is no such format; there are {names}.", name=name)
    return _formats[name]
