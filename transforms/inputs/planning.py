"""From what the user points at to the list of files to read, each looked into once.

Runs in the driver, before any worker: whatever can be known to be wrong is said here, all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from hardneg.errors import HardnegError, InputError, OptionError, parameter
from hardneg.transforms.inputs.beir import find_beir_files
from hardneg.transforms.inputs.columns import listed, parts_of
from hardneg.transforms.inputs.input_files import KINDS, InputFile
from hardneg.transforms.inputs.layouts import wrong_layout
from hardneg.transforms.inputs.looking import look_into
from hardneg.transforms.inputs.options import COLUMN_OPTIONS, InputOptions
from hardneg.transforms.inputs.paths import FoundFile, files_at

_GIVEN_AS = {"passages": "corpus", "queries": "queries", "qrels": "qrels", "pairs": "pairs"}
_HEADS_AT_A_TIME = 8  # a look into a file on an object store is all waiting


def plan_inputs(options: InputOptions, pass_through: Sequence[str] = ()) -> list[InputFile]:
    """Return the files to read, sorted by kind and path, and numbered.

    The head of every file is read: its format, its columns.

    Args:
        options: what the user points at.
        pass_through: further columns of the corpus to keep.

    Raises:
        InputError: a sentence for every problem found.
        OptionError: the same, where all of them are about options.
    """
    problems: list[HardnegError] = [*wrong_layout(options, pass_through)]
    found = _found(options, problems)
    with ThreadPoolExecutor(_HEADS_AT_A_TIME) as pool:
        looked = list(pool.map(lambda each: _looked_into(each[0], each[1], options), found))
    problems += [outcome for outcome in looked if isinstance(outcome, HardnegError)]
    planned = [outcome for outcome in looked if isinstance(outcome, InputFile)]
    if not problems:
        problems += _missing_pass_through(planned, pass_through)
    if problems:
        raise _together(problems)
    return [
        replace(file, index=index, pass_through=tuple(pass_through) if file.kind in ("passages", "pairs") else ())
        for index, file in enumerate(planned)
    ]


def plan_beir(folder: str, split: str | None, given_as: str, split_as: str | None) -> list[InputFile]:
    """Return the files of a folder in the BEIR layout, each numbered among those of its kind.

    Args:
        folder: the folder.
        split: which qrels; None: the only ones.
        given_as: the parameter that the folder was given as.
        split_as: the parameter that the split was; None: part of that, as FOLDER:SPLIT.

    Raises:
        InputError, OptionError: a sentence for every problem found.
    """
    problems: list[HardnegError] = []
    found = find_beir_files(folder, split, problems, given_as, split_as)
    planned = []
    for kind in KINDS:
        for index, file in enumerate(file for of_kind, file in found if of_kind == kind):
            try:
                planned.append(look_into(kind, file, parts_of(kind, beir=True), index=index))
            except HardnegError as error:
                problems.append(error)
    if problems:
        raise _together(problems)
    return planned


def _together(problems: list[HardnegError], most: int = 20) -> HardnegError:
    if len(problems) == 1:
        return problems[0]
    kind = InputError if any(isinstance(problem, InputError) for problem in problems) else OptionError
    more = [f"... and {len(problems) - most} more."] if len(problems) > most else []
    said = [problem.told(parameter) for problem in problems[:most]] + more
    return kind(f"The inputs have {len(problems)} problems:" + "".join(f"\n- {each}" for each in said))


def _found(options: InputOptions, problems: list[HardnegError]) -> list[tuple[str, FoundFile]]:
    """Return (kind, file) of all that the options point at, in the order of a run; add what is wrong to problems."""
    if options.input:
        return find_beir_files(options.input, options.split, problems)
    found: set[tuple[str, FoundFile]] = set()
    for kind, given_as in _GIVEN_AS.items():
        for pattern in getattr(options, given_as):
            try:
                found.update((kind, file) for file in files_at(pattern, given_as))
            except HardnegError as error:
                problems.append(error)
    return sorted(found, key=lambda each: (KINDS.index(each[0]), each[1].path))


def _looked_into(kind: str, file: FoundFile, options: InputOptions) -> InputFile | HardnegError:
    """Return the planned file, or the problem with it."""
    parts = parts_of(kind, bool(options.input), bool(options.pairs and options.corpus))
    named = {name: column for name in COLUMN_OPTIONS if (column := getattr(options, name))}
    try:
        return replace(look_into(kind, file, parts, named), judged_negatives=options.judged_negatives)
    except HardnegError as error:
        return error


def _missing_pass_through(planned: list[InputFile], pass_through: Sequence[str]) -> list[InputError]:
    """A column may be missing in some corpus files, and be null there; one missing in all is a mistake."""
    filled = [file for file in planned if file.kind == "passages" and file.names]
    there = list(dict.fromkeys(name for file in filled for name in file.names))
    return [
        InputError(
            f"{parameter('pass_through')} {name}: no corpus file has that column, the columns are {listed(there)}.",
            parameter="pass_through",
        )
        for name in pass_through
        if filled and name not in there
    ]
