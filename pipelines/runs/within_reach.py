"""Inputs within reach of workers on other machines, which may not see the files of this one.

What the graph reads is linked, or else copied, into the work folder, which all workers see. What a run is known by
(its state, manifest and messages) goes by the files that the user named.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from hardneg.pipelines.runs.plan import Plan
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.input_files import InputFile

INPUTS = "inputs"  # in a work folder
_TABLE_FILES = ("file", "vectors", "query_vectors")  # the keys of a retriever's table that name files


def within_reach(plan: Plan) -> Plan:
    """Return the plan of a run whose workers read copies of this machine's files.

    Object stores are within reach as they are.
    """
    files = [_copied(file, storage.join(plan.work, INPUTS, f"{file.index:05d}")) for file in plan.files]
    tables = [
        _copied_table(table, storage.join(plan.work, INPUTS, f"retriever-{number}"))
        for number, table in enumerate(plan.config.retriever)
    ]
    return replace(plan, files=files, config=plan.config.model_copy(update={"retriever": tables}))


def _copied(file: InputFile, folder: str) -> InputFile:
    if not storage.is_local(file.path):
        return file
    return replace(file, copy=_put(file.path, folder))


def _copied_table(table: dict[str, Any], folder: str) -> dict[str, Any]:
    told = dict(table)
    for key in _TABLE_FILES:
        if table.get(key) and storage.is_local(table[key]):
            for number, path in enumerate(storage.list_files(table[key])):
                _put(path, storage.join(folder, key, f"{number:05d}"))
            told[key] = storage.join(folder, key, "*", "*")
    return told


def _put(path: str, folder: str) -> str:
    """Put a file into a folder of the work folder, under its own name; return where it is."""
    place = storage.join(folder, os.path.basename(path))
    if storage.is_local(place):
        Path(folder).mkdir(parents=True, exist_ok=True)
        try:
            os.link(os.path.realpath(path), place)
            return place
        except OSError:  # another disk, or a file system without links
            pass
    storage.copy_file(path, place)
    return place
