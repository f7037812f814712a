"""The filters that there are, in the order in which they are asked. A new one is a file, and its line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hardneg.errors import OptionError, parameter
from hardneg.transforms.filters.filter import Filter
from hardneg.transforms.filters.groups import SameGroup
from hardneg.transforms.filters.margins import AbsoluteMargin, RelativeMargin
from hardneg.transforms.filters.near_duplicates import NearDuplicate
from hardneg.transforms.filters.ranks import OutsideRanks
from hardneg.transforms.filters.threshold import AboveMaxSigmoid, BelowMinSigmoid
from hardneg.transforms.filters.told import HeldOut, MarkedRelevant
from hardneg.transforms.filters.verdicts import MASKS, OF_JUDGE, OF_POSITIVE, Meaning

BUILT_IN: tuple[type[Filter], ...] = (
    HeldOut,
    MarkedRelevant,
    OutsideRanks,
    SameGroup,
    NearDuplicate,
    RelativeMargin,
    AboveMaxSigmoid,
    AbsoluteMargin,
    BelowMinSigmoid,
)
FILTERS: dict[str, type[Filter]] = {each.reason: each for each in BUILT_IN}


def register_filter(kind: type[Filter]) -> type[Filter]:
    """Add a filter from outside the package; a decorator of its class. It is asked after those that there are.

    Raises:
        OptionError: its reason is another's already.
    """
    taken = meanings().get(kind.reason)
    known = FILTERS.get(kind.reason)
    same = known is not None and (known.__module__, known.__qualname__) == (kind.__module__, kind.__qualname__)
    if taken is not None and not same:
        raise OptionError(f"There is a reason {kind.reason!r} already; give your filter another one.")
    FILTERS[kind.reason] = kind
    return kind


def make_filters(given: Mapping[str, Any]) -> tuple[Filter, ...]:
    """Return the filters that a run's options ask for, in the order in which they are asked.

    Args:
        given: the options by name. One called ``filter`` holds the settings of filters that have no options of their
            own, by reason: ``{"short_passage": {"min_words": 3}}``.

    Raises:
        OptionError: a filter that is not there, or settings that it does not take.
    """
    settings: Mapping[str, Mapping[str, Any]] = given.get("filter") or {}
    if unknown := [name for name in settings if name not in FILTERS]:
        raise OptionError(
            f"{parameter('filter')} {unknown[0]}: there is no such filter; there are {', '.join(FILTERS)}. Import the "
            "module that registers it first.",
            name=unknown[0],
        )
    made: list[Filter] = []
    for name, kind in FILTERS.items():
        one = _of_settings(kind, settings[name]) if name in settings else kind.of_options(given)
        if one is not None:
            made.append(one)
    return tuple(made)


def _of_settings(kind: type[Filter], settings: Mapping[str, Any]) -> Filter:
    try:
        if unknown := sorted(set(settings) - set(kind.options)):
            raise ValueError(f"it has no setting {unknown[0]}")
        return TypeAdapter(kind).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        problem = str(error)
    known = ", ".join(kind.options) or "none"
    raise OptionError(f"{parameter('filter')} {kind.reason}: {problem}. Its settings: {known}.", name=kind.reason)


def meanings() -> dict[str, Meaning]:
    """Return every reason with what it means, by name, in the order of precedence."""
    filters = [kind.meaning() for kind in FILTERS.values()]
    guards = [each for each in filters if each.kind == "guard"]
    thresholds = [each for each in filters if each.kind == "threshold"]
    return {str(each.reason): each for each in (*MASKS, *guards, OF_JUDGE, *thresholds, OF_POSITIVE)}
