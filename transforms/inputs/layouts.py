"""Which of the options that say what is read go together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hardneg.errors import OptionError, parameter
from hardneg.transforms.inputs.columns import listed
from hardneg.transforms.inputs.options import InputOptions

_FILES = ("input", "pairs", "corpus", "queries", "qrels")
_SEPARATE = ["corpus", "queries", "qrels"]
_RESERVED = ("passage_id", "text", "file", "line")


def wrong_layout(options: InputOptions, pass_through: Sequence[str]) -> list[OptionError]:
    """Return an error for every combination of options that makes no sense."""
    given = [name for name in _FILES if getattr(options, name)]
    problems = [*_wrong_files(given)]
    if options.split and not options.input:
        problems.append(_told("split", f"names one of the qrels of {parameter('input')}: leave it out, or give that."))
    problems += _useless_columns(options, given, pass_through)
    if reserved := [name for name in pass_through if name in _RESERVED]:
        problems.append(_told("pass_through", f"can't be {listed(reserved)}: the output has columns of that name."))
    if len(set(pass_through)) < len(pass_through):
        problems.append(_told("pass_through", f"names a column twice ({listed(pass_through)}): name each once."))
    return problems


def _told(name: str, said: str) -> OptionError:
    return OptionError(f"{parameter(name)} {said}", parameter=name)


def _wrong_files(given: Sequence[str]) -> Iterator[OptionError]:
    corpus, queries, qrels = map(parameter, _SEPARATE)
    if not given:
        yield OptionError(
            f"No input: give {parameter('input')} FOLDER (a BEIR folder), or {parameter('pairs')}, or {corpus}, "
            f"{queries} and {qrels}."
        )
    elif "input" in given and len(given) > 1:
        beside = ", ".join(map(parameter, given[1:]))
        yield _told("input", f"can't stand beside {beside}: the folder holds all three.")
    elif "pairs" in given and {"queries", "qrels"} & set(given):
        yield _told("pairs", f"can't stand beside {queries} or {qrels}: pairs hold both, leave one out.")
    elif not {"input", "pairs"} & set(given) and given != _SEPARATE:
        missing = ", ".join(parameter(name) for name in _SEPARATE if name not in given)
        alone = f", or give {parameter('pairs')} with it" if given == ["corpus"] else ""
        yield OptionError(f"{', '.join(map(parameter, given))} without {missing}: give all three{alone}.")


def _useless_columns(options: InputOptions, given: Sequence[str], pass_through: Sequence[str]) -> Iterator[OptionError]:
    """Yield an error for every column that is named of a file that is not given."""
    corpus = not {"input", "corpus"}.isdisjoint(given)
    queries = not {"input", "queries", "pairs"}.isdisjoint(given)
    pairs = "pairs" in given
    for name, value, useful, where in (
        ("id_column", options.id_column, corpus, "a corpus"),
        ("text_column", options.text_column, corpus, "a corpus"),
        ("title_column", options.title_column, corpus or pairs, "a corpus or pairs"),
        ("anchor_column", options.anchor_column, queries, "queries or pairs"),
        ("query_id_column", options.query_id_column, queries, "queries or pairs"),
        ("positive_column", options.positive_column, pairs, "pairs"),
        ("pass_through", pass_through, corpus, "a corpus"),
    ):
        if value and given and not useful:
            yield _told(name, f"names a column of {where}, and there is none: leave it out.")
