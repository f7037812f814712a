"""Live tables and models where the commands take files: each is written first, so a run is the same either way."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.errors import HardnegError, InputError, OptionError, parameter

if TYPE_CHECKING:
    from datasets import Dataset

PathLike: TypeAlias = "str | os.PathLike[str]"
# A datasets.Dataset or IterableDataset, a pyarrow.Table, a pandas.DataFrame, columns, or rows.
TableLike: TypeAlias = "Dataset | pa.Table | Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Any"

ONE_WORKER = ("--direct_num_workers=1",)  # this process, with all its threads


def written(folder: str) -> re.Pattern[str]:
    """Return what matches the path of a live table that was written, with its name as the group."""
    return re.compile(re.escape(folder + os.sep) + r"(\w+)\.(?:parquet|jsonl)")


@contextmanager
def told_by_name(folder: str) -> Iterator[None]:
    """Call a live table by its parameter in errors, not by the file that it was written to."""
    file = written(folder)
    try:
        yield
    except HardnegError as error:
        said = error.told(parameter)
        if file.search(said) is None:
            raise
        raise type(error)(file.sub(lambda found: parameter(found[1]), said), error.fields) from None


def files_of(value: Any, name: str, folder: str) -> list[str]:
    """Return the paths that are given, or that of a table that is given, which is written; None is nothing given."""
    if value is None:
        return []
    if isinstance(value, (str, os.PathLike)):
        return [os.fspath(value)]
    if isinstance(value, Sequence) and all(isinstance(each, (str, os.PathLike)) for each in value):
        return [os.fspath(each) for each in value]
    if isinstance(value, Iterable) and not hasattr(value, "__len__"):
        return [_streamed(value, name, folder)]
    path = os.path.join(folder, f"{name}.parquet")
    pq.write_table(_table(value, name), path)
    return [path]


def _streamed(rows: Iterable[Any], name: str, folder: str) -> str:
    """Write rows of which no one knows how many there are, one at a time: they may not fit into memory."""
    path = os.path.join(folder, f"{name}.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        try:
            for row in rows:
                file.write(json.dumps(dict(row), default=_plain) + "\n")
        except (TypeError, ValueError) as error:
            raise _no_table(name, error) from None
    return path


def _plain(value: Any) -> Any:
    """Return what JSON holds of a value: NumPy's numbers and arrays, bytes, dates."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _no_table(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name} is no table ({error}): give paths, a datasets.Dataset, a pyarrow.Table, a pandas.DataFrame, a mapping "
        "of columns or rows."
    )


def _table(value: Any, name: str) -> pa.Table:
    try:
        if isinstance(value, pa.Table):
            return value
        if isinstance(value, Mapping):
            return pa.table({str(column): pa.array(rows, from_pandas=True) for column, rows in value.items()})
        if hasattr(value, "with_format") and hasattr(value, "num_rows"):  # datasets.Dataset, with its selections
            return value.with_format("arrow")[:]
        if hasattr(value, "to_records"):  # pandas.DataFrame
            return pa.Table.from_pandas(value, preserve_index=False)
        rows = [dict(row) for row in value]
        names = dict.fromkeys(str(name) for row in rows for name in row)  # a row may lack what another has
        return pa.table({name: pa.array([row.get(name) for row in rows], from_pandas=True) for name in names})
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _no_table(name, error) from None


def options_of_live(
    given: Mapping[str, Any], bi_encoder: Any, retriever: Sequence[Mapping[str, Any]], cross_encoder: Any, folder: str
) -> dict[str, Any]:
    """Return options that name files, of tables and models that may be live: those are written into a folder."""
    return {
        **{name: files_of(value, name, folder) for name, value in given.items()},
        "bi_encoder": _bi_encoders(bi_encoder, folder),
        "retriever": [_retriever(table, number, folder) for number, table in enumerate(retriever)],
        "cross_encoder": _model(cross_encoder, "cross_encoder", folder),
    }


def _bi_encoders(given: Any, folder: str) -> list[str]:
    if isinstance(given, str) or not isinstance(given, (Mapping, Sequence)):
        return [_model(given, "bi_encoder", folder)]
    if isinstance(given, Mapping):
        return [f"{name}={_model(model, f'bi_encoder_{name}', folder)}" for name, model in given.items()]
    return [_model(each, "bi_encoder", folder) for each in given]


def _retriever(table: Mapping[str, Any], number: int, folder: str) -> dict[str, Any]:
    live = {"model": _model(table["model"], f"retriever_{number}", folder)} if "model" in table else {}
    return {**table, **live}


def _model(given: Any, name: str, folder: str) -> str:
    """Return a model's name, or the folder that a live one is saved in."""
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)
    if not hasattr(given, "save_pretrained"):
        raise OptionError(
            f"{name} is a {type(given).__name__}: give a name, a folder, or a model of sentence-transformers."
        )
    path = os.path.join(folder, name)
    given.save_pretrained(path)
    return path


@contextmanager
def showing(work: str) -> Iterator[None]:
    """Tell on stderr how far the run in a work folder is."""
    from rich.console import Console

    from hardneg.pipelines.terminal.display import watching

    with watching(work, Console(stderr=True)):
        yield
