"""The tables of an export of ours that an audit reads."""

from __future__ import annotations

import json
import os

from hardneg.errors import InputError
from hardneg.transforms.core import storage
from hardneg.transforms.export.registry import export_formats
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.output.manifest import MANIFEST


def exported_tables(folder: str) -> list[str]:
    """Return the folders of an export's rows, those of fewer negatives too; none for anything but an export.

    Raises:
        InputError: the export's rows do not list negatives.
    """
    path = storage.join(folder, MANIFEST)
    if not (os.path.isfile(path) if storage.is_local(folder) else storage.exists(path)):
        return []
    with explaining(path):
        data = storage.read_file(path)
    try:
        manifest = json.loads(data)
        name, tables, run = manifest["format"], list(manifest["rows"]), manifest["run"]
    except (ValueError, KeyError, TypeError):
        return []  # of a run, or somebody else's
    form = export_formats().get(name)
    if form is None:
        return [storage.join(folder, tables[0])]
    if not form.lists_negatives:
        raise InputError(
            f"{folder} is an export as {name}, whose rows do not tell negatives from positives by their columns: audit "
            f"the run that it was made from, {run}.",
            path=folder,
        )
    own = [table for table in tables if table == form.main or table.startswith(f"{form.main}-")]
    return [storage.join(folder, table) for table in own]
