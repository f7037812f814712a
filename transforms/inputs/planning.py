"""From what the user points at to the list of files to read, each looked into once.

Runs in the driver, before any worker: whatever can be known to be wrong is said here, all at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.columns import Head, head_of_qrels, head_of_rows, listed, parts_of, resolve
from hardneg.transforms.inputs.files import COMPRESSIONS, compression, first_line
from hardneg.transforms.inputs.input_files import KINDS, InputFile

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tsv": "tsv",
}
_RESERVED = ("passage_id", "text", "file", "line")
_HEADS_AT_A_TIME = 8  # a look into a file on an object store is all waiting


@dataclass(frozen=True)
class InputOptions:
    """What the user points at: one of three layouts.

    A BEIR folder (``input``, ``split``); pairs (``pairs``, with or without ``corpus``); separate files
    (``corpus``, ``queries``, ``qrels``). Each of the latter four is a path or a pattern, or several.

    Attributes:
        input: a folder with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv``.
        split: which qrels of that folder; may be left out where there is one.
        corpus: Parquet, JSONL or TSV.
        queries: Parquet, JSONL or TSV.
        qrels: in TREC's form or in BEIR's.
        pairs: Parquet, JSONL, or TSV with a header: anchor and positive(s).
        id_column: the passage's id (corpus).
        text_column: the passage's text (corpus).
        title_column: the passage's title (corpus; pairs, where there is no corpus).
        anchor_column: the query's text (pairs, queries).
        positive_column: the positive, or the list of positives (pairs).
        query_id_column: the query's id (pairs, queries).
        pass_through: further columns of the corpus to keep.
    """

    input: str | None = None
    split: str | None = None
    corpus: str | Sequence[str] = ()
    queries: str | Sequence[str] = ()
    qrels: str | Sequence[str] = ()
    pairs: str | Sequence[str] = ()
    id_column: str | None = None
    text_column: str | None = None
    title_column: str | None = None
    anchor_column: str | None = None
    positive_column: str | None = None
    query_id_column: str | None = None
    pass_through: Sequence[str] = ()


@dataclass(frozen=True)
class _Found:
    kind: str
    path: str
    size: int


def plan_inputs(options: InputOptions) -> list[InputFile]:
    """Return the files to read, sorted by kind and path, and numbered.

    The head of every file is read: its format, its columns.

    Raises:
        HardnegError: a sentence for every problem found.
    """
    problems = _wrong_options(options)
    found = _in_folder(options, problems) if options.input else _matched(options, problems)
    with ThreadPoolExecutor(_HEADS_AT_A_TIME) as pool:
        looked = list(pool.map(lambda file: _looked_into(file, options), found))
    problems += [outcome for outcome in looked if isinstance(outcome, str)]
    planned = [outcome for outcome in looked if not isinstance(outcome, str)]
    if not problems:
        problems += _missing_pass_through(planned, options)
    if problems:
        raise HardnegError(_together(problems))
    return [replace(file, index=index) for index, (file, _) in enumerate(planned)]


def _together(problems: list[str], most: int = 20) -> str:
    if len(problems) == 1:
        return problems[0]
    more = [f"... and {len(problems) - most} more."] if len(problems) > most else []
    return f"The inputs have {len(problems)} problems:" + "".join(f"\n- {p}" for p in problems[:most] + more)


def _patterns(given: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in ([given] if isinstance(given, str) else given) if name)


def _wrong_options(options: InputOptions) -> list[str]:
    """Return a sentence for every combination of options that makes no sense."""
    names = ("input", "pairs", "corpus", "queries", "qrels")
    given = [f"--{name}" for name in names if _patterns(getattr(options, name) or ())]
    separate = ["--corpus", "--queries", "--qrels"]
    corpus = bool({"--input", "--corpus"} & set(given))
    problems = []
    if not given:
        problems.append(
            "No input: give --input FOLDER (a BEIR folder), or --pairs, or --corpus, --queries and --qrels."
        )
    elif "--input" in given and len(given) > 1:
        problems.append(f"--input can't stand beside {listed(given[1:])}: the folder holds all three.")
    elif "--pairs" in given and {"--queries", "--qrels"} & set(given):
        problems.append("--pairs can't stand beside --queries or --qrels: pairs hold both, leave one out.")
    elif not {"--input", "--pairs"} & set(given) and given != separate:
        missing = [name for name in separate if name not in given]
        alone = ", or give --pairs with it" if given == ["--corpus"] else ""
        problems.append(f"{listed(given)} without {listed(missing)}: give all three{alone}.")
    if options.split and not options.input:
        problems.append("--split names one of the qrels of --input: leave it out, or give --input.")
    through = _patterns(options.pass_through)
    queries = {"--input", "--queries", "--pairs"} & set(given)
    for option, value, useful, where in (
        ("--id-column", options.id_column, corpus, "a corpus"),
        ("--text-column", options.text_column, corpus, "a corpus"),
        ("--title-column", options.title_column, corpus or "--pairs" in given, "a corpus or pairs"),
        ("--anchor-column", options.anchor_column, queries, "queries or pairs"),
        ("--query-id-column", options.query_id_column, queries, "queries or pairs"),
        ("--positive-column", options.positive_column, "--pairs" in given, "pairs"),
        ("--pass-through", through, corpus, "a corpus"),
    ):
        if value and given and not useful:
            problems.append(f"{option} names a column of {where}, and there is none: leave it out.")
    if reserved := [name for name in through if name in _RESERVED]:
        problems.append(f"--pass-through can't be {listed(reserved)}: the output has columns of that name.")
    if len(set(through)) < len(through):
        problems.append(f"--pass-through names a column twice ({listed(through)}): name each once.")
    return problems


def _matched(options: InputOptions, problems: list[str]) -> list[_Found]:
    found: set[_Found] = set()
    sources = {
        "passages": ("--corpus", options.corpus),
        "queries": ("--queries", options.queries),
        "qrels": ("--qrels", options.qrels),
        "pairs": ("--pairs", options.pairs),
    }
    for kind, (option, given) in sources.items():
        for pattern in _patterns(given):
            try:
                found.update(_Found(kind, path, size) for path, size in _expanded(pattern, option))
            except HardnegError as error:
                problems.append(str(error))
    return _in_order(found)


def _in_order(found: Iterable[_Found]) -> list[_Found]:
    return sorted(found, key=lambda file: (KINDS.index(file.kind), file.path))


def _expanded(pattern: str, option: str) -> list[tuple[str, int]]:
    """Return path and size of every file that a path or a pattern stands for: at least one."""
    if storage.is_local(pattern) and os.path.isdir(pattern):
        raise HardnegError(
            f"{option} {pattern} is a folder: give a file, or a pattern such as "
            f"{os.path.join(pattern, '*.tsv' if option == '--qrels' else '*.parquet')}."
        )
    glob = re.search(r"[*?\[]", pattern) is not None
    try:
        if glob and storage.exists(pattern):  # brackets in the name of one file
            pattern, glob = _escaped(pattern), False
        matches = storage.match(pattern)
    except Exception as error:  # whatever the client of an object store raises
        raise HardnegError(
            f"{option} {pattern} can't be listed ({first_line(error)}): check the path and your access to it."
        ) from error
    # `_SUCCESS`, `.part-0.crc`: what other systems leave beside their output.
    files = [(m.path, m.size_in_bytes) for m in matches if not (glob and _name(m.path).startswith((".", "_")))]
    if not files:
        raise HardnegError(f"{option} {pattern} matches no file: check the path.")
    return files


def _escaped(path: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", path)


def _name(path: str) -> str:
    return path.replace(os.sep, "/").rsplit("/", 1)[-1]


def _in_folder(options: InputOptions, problems: list[str]) -> list[_Found]:
    """Find the files of a BEIR folder, each compressed or not."""
    folder = str(options.input)
    if storage.is_local(folder) and not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "does not exist"
        problems.append(f"--input {folder} {what}: give a folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.")
        return []
    base = _escaped(folder.rstrip("/"))
    found = []
    for kind, stem, suffix in (
        ("passages", "corpus", ".jsonl"),
        ("queries", "queries", ".jsonl"),
        ("qrels", "qrels/*", ".tsv"),
    ):
        try:
            matches = storage.match(f"{base}/{stem}{suffix}*")
        except Exception as error:
            problems.append(f"--input {folder} can't be listed ({first_line(error)}): check it and your access to it.")
            return []
        splits: dict[str, list[_Found]] = {}
        for match in matches:
            bare = _name(match.path)[: -len(_compression_suffix(match.path)) or None]
            if bare.endswith(suffix):
                entry = _Found(kind, match.path, match.size_in_bytes)
                splits.setdefault(bare.removesuffix(suffix), []).append(entry)
        wanted = _split(folder, options.split, splits, problems) if kind == "qrels" else stem
        files = splits.get(wanted or "", [])
        found += files
        if len(files) > 1:
            paths = listed([file.path for file in files])
            problems.append(f"--input {folder} has {paths}, which are one file twice: remove one of them.")
        elif not files and kind != "qrels":
            problems.append(
                f"--input {folder} has no {stem}{suffix}, nor {stem}{suffix}.gz: a BEIR folder holds "
                "corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv."
            )
    return _in_order(found)


def _compression_suffix(path: str) -> str:
    return next((suffix for suffix in COMPRESSIONS if path.lower().endswith(suffix)), "")


def _split(folder: str, wanted: str | None, splits: Collection[str], problems: list[str]) -> str | None:
    there = sorted(splits)
    if wanted in there:
        return wanted
    if not there:
        problems.append(f"--input {folder} has no qrels/SPLIT.tsv: known positives are needed.")
    elif wanted:
        problems.append(f"--split {wanted}: {folder} has no qrels/{wanted}.tsv, choose of {listed(there)}.")
    elif len(there) > 1:
        problems.append(f"--input {folder} has several splits: choose with --split of {listed(there)}.")
    return there[0] if len(there) == 1 and not wanted else None


def _looked_into(found: _Found, options: InputOptions) -> tuple[InputFile, Head] | str:
    """Return the planned file and its head, or the problem with it."""
    kind, path = found.kind, found.path
    through = _patterns(options.pass_through) if kind in ("passages", "pairs") else ()
    try:
        form = _format(kind, path)
        if form == "qrels":
            head, columns = head_of_qrels(path)
        else:
            parts = parts_of(kind, bool(options.input), bool(options.pairs and options.corpus))
            named = _named(options)
            head = head_of_rows(path, form, parts, named)
            columns = resolve(path, head, parts, named)
    except HardnegError as error:
        return str(error)
    names = () if head.format in ("jsonl", "parquet") else head.columns
    file = InputFile(
        path, kind, head.format, columns, found.size, names=names, header=head.header, pass_through=through
    )
    return file, head


def _format(kind: str, path: str) -> str:
    """Tell the format by the file's name; ``qrels`` stands for both forms, which are told apart inside."""
    stem = path[: -len(_compression_suffix(path)) or None]
    form = FORMATS.get(os.path.splitext(stem.lower())[1])
    if kind == "qrels":
        if form in ("jsonl", "parquet"):
            raise HardnegError(f"{path}: qrels are text, in TREC's or BEIR's form: convert this {form} file.")
        return "qrels"
    if form is None:
        raise HardnegError(
            f"{path} has a suffix that says nothing: it must be one of {listed(FORMATS)}, text formats also "
            "compressed (.gz, .bz2, .zst, .xz)."
        )
    if form == "parquet" and compression(path):
        raise HardnegError(f"{path}: Parquet is compressed inside, so decompress this file first.")
    return form


def _named(options: InputOptions) -> dict[str, str]:
    """Return option -> column for the columns that the user named."""
    fields = (
        "id_column", "text_column", "title_column", "anchor_column", "positive_column", "query_id_column",
    )  # fmt: skip
    return {f"--{name.replace('_', '-')}": getattr(options, name) for name in fields if getattr(options, name)}


def _missing_pass_through(planned: list[tuple[InputFile, Head]], options: InputOptions) -> list[str]:
    """A column may be missing in some corpus files, and be null there; one missing in all is a mistake."""
    heads = [head for file, head in planned if file.kind == "passages" and not head.empty]
    there = list(dict.fromkeys(name for head in heads for name in head.columns))
    return [
        f"--pass-through {name}: no corpus file has that column, the columns are {listed(there)}."
        for name in _patterns(options.pass_through)
        if heads and name not in there
    ]
