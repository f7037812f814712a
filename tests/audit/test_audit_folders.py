"""Folders that hold more than rows: exports of ours, `save_to_disk`, clones from the hub."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audit_cases import clean_rows, look, write
from export_cases import FORMATS, SMALLER, options
from finished_run import candidate, write_run

from hardneg.errors import InputError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.commands.export import export
from hardneg.transforms.export.registry import format_named


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three negatives for one query and two for the other."""
    rows = []
    for query, mined in (("a", 3), ("b", 2)):
        rows.append(candidate(query, f"{query}0", "positive", logit=1.0, grade=1.0))
        rows += [candidate(query, f"{query}{n}", "negative", logit=0.0, selected=n) for n in range(1, mined + 1)]
    passages = {f"{query}{n}": f"passage {query} {n}" for query in "ab" for n in range(4)}
    return write_run(tmp_path_factory.mktemp("made") / "run", {"a": "one?", "b": "two?"}, passages, rows, negatives=3)


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_is_audited_as_a_whole(form: str, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(str(run), options(form, out, **SMALLER.get(form, {})))
    if format_named(form).lists_negatives:
        report = look(out)
        assert report.clean
        assert (report.anchors, report.negatives) == (2, 5)
    else:
        with pytest.raises(InputError, match=f"an export as {form}, .*: audit the run that it was made from, {run}"):
            look(out)


def test_an_export_inside_its_run(run: Path) -> None:
    export(str(run), options("n-tuple", run / "n-tuple", short="smaller", overwrite=True))
    assert look(run / "n-tuple").negatives == 5
    assert look(run).rows == 5


def test_a_fault_in_a_table_of_fewer_negatives_is_found(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(str(run), options("n-tuple", out, short="smaller"))
    path = next((out / "n-tuple-2").iterdir())
    table = pq.read_table(path)
    pq.write_table(table.set_column(2, "negative_1", table["positive"]), path)
    assert {fault.kind: fault.count for fault in look(out).faults} == {"positives_among_negatives": 1}


def test_an_export_as_a_format_that_is_not_known_here(tmp_path: Path) -> None:
    folder = write(tmp_path, "triplets", clean_rows())
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "mine", "rows": {folder.name: 12}, "run": "run"}))
    assert look(tmp_path).rows == 12


@pytest.mark.parametrize("name", ["dataset_info.json", "dataset_infos.json", "manifest.json", "state.json"])
def test_what_tells_of_data_is_no_data(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, "triplets", clean_rows())
    (folder / name).write_text('{"features": {}}')
    (folder / "README.md").write_text("# a data set")
    assert look(folder).rows == 12


def test_a_clone_from_the_hub(tmp_path: Path) -> None:
    folder = write(tmp_path, "triplets", clean_rows())
    (tmp_path / "clone").mkdir()
    folder.rename(tmp_path / "clone" / "data")
    (tmp_path / "clone" / "dataset_infos.json").write_text("{}")
    (tmp_path / "clone" / "README.md").write_text("# a data set")
    assert look(tmp_path / "clone").rows == 12


def test_a_data_set_that_was_saved_to_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"anchor": row["query"], "positive": row["pos"][0], "negative": row["neg"][0]} for row in clean_rows()]
    datasets.Dataset(pa.Table.from_pylist(rows)).save_to_disk(tmp_path / "saved", num_shards=2)
    assert look(tmp_path / "saved").rows == 4
    rows[1]["negative"] = rows[1]["positive"]
    datasets.Dataset(pa.Table.from_pylist(rows)).save_to_disk(tmp_path / "faulty")
    assert command(["audit", str(tmp_path / "faulty")]) == 1
