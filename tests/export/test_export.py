"""`hardneg export`: every format holds what the run mined; and what can be wrong."""

from __future__ import annotations

import errno
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from export_cases import (
    FIXED,
    FORMATS,
    HOSTILE,
    SMALLER,
    Expected,
    Rows,
    bytes_of,
    comparable,
    made_up,
    options,
    rows_of,
)
from finished_run import CANDIDATES, candidate, write_run
from hypothesis import given
from hypothesis import strategies as st
from object_store import FILES
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.commands.export import export
from hardneg.pipelines.options.finished import ExportOptions
from hardneg.transforms.core import storage
from hardneg.transforms.export.choice import ChoiceOptions, choose_pairs
from hardneg.transforms.export.files import json_lines, shard_bytes
from hardneg.transforms.output.layout import reading_order
from hardneg.transforms.output.spreading import APART, BATCH


@examples(8)
@given(seed=st.integers(0, 2**32), negatives=st.integers(1, 5), scores=st.booleans(), shards=st.integers(1, 3))
def test_every_format_holds_what_was_mined(
    tmp_path_factory: pytest.TempPathFactory, seed: int, negatives: int, scores: bool, shards: int
) -> None:
    queries, passages, candidates = made_up(seed)
    folder = tmp_path_factory.mktemp("made")
    run = write_run(folder / "run", queries, passages, candidates, negatives=5, shards=shards)
    expected = Expected(queries, passages, candidates, negatives)
    for form in FORMATS:
        given: dict[str, Any] = {"scores": scores, "negatives": negatives}
        given |= SMALLER.get(form, {})
        out = folder / form
        if not expected.queries:
            with pytest.raises(HardnegError, match="nothing to export"):
                export(str(run), options(form, out, **given))
            assert not out.exists()
            continue
        manifest = export(str(run), options(form, out, **given))
        for size in range(negatives, 0, -1) if form in FIXED else [negatives]:
            name = "scores" if form == "pylate" else form
            name = name if size == negatives else f"{name}-{size}"
            wanted = expected.rows(form, size, scores)
            assert (name in manifest["rows"]) == bool(wanted)
            if wanted:
                assert comparable(rows_of(out, name)) == comparable(wanted)
        if form == "pylate":
            used = expected.queries
            assert {row["query_id"]: row["text"] for row in rows_of(out, "queries")} == {
                each[0]: each[1] for each in used
            }
            named = {row["passage_id"] for each in used for row in (*each[2], *each[3])}
            documents = {row["document_id"]: row["text"] for row in rows_of(out, "documents")}
            assert documents.items() <= passages.items()
            assert named <= set(documents)


@examples(100)
@given(seed=st.integers(0, 2**32), negatives=st.integers(1, 4), exactly=st.booleans(), relabel=st.booleans())
def test_pairs_are_those_of_whole_queries(seed: int, negatives: int, exactly: bool, relabel: bool) -> None:
    _, _, rows = made_up(seed, queries=5)
    table = pa.Table.from_pylist(rows, schema=CANDIDATES)
    chosen = choose_pairs(table, ChoiceOptions(negatives, relabel, exactly))
    wanted, short, left_out = [], 0, 0
    for query in sorted({row["query_id"] for row in rows}):
        own = [row for row in rows if row["query_id"] == query]
        known = [row for row in own if row["verdict"] == "positive" and row["reason"] is None]
        known += [row for row in own if relabel and row["verdict"] == "suspected_positive"]
        mined = [row for row in own if row["selected"] is not None and row["selected"] <= negatives]
        left_out += not (known and mined)
        short += bool(known and mined and len(mined) < negatives)
        if known and mined and not (exactly and len(mined) < negatives):
            pairs = [(query, row["passage_id"], row["selected"] or 0) for row in known + mined]
            wanted += sorted(pairs, key=lambda pair: (pair[2], pair[1]))
    found = zip(*(chosen.table[name].to_pylist() for name in ("query_id", "passage_id", "selected")), strict=True)
    assert list(found) == wanted
    assert (chosen.short, chosen.left_out) == (short, left_out)


def test_rows_come_in_one_order_whatever_the_order_of_the_candidates(tmp_path: Path) -> None:
    queries, passages, candidates = made_up(7)
    for name, rows in (("one", candidates), ("other", candidates[::-1])):
        run = write_run(tmp_path / name, queries, passages, rows, negatives=3)
        for form in FORMATS:
            export(str(run), options(form, tmp_path / f"{name}-{form}", **SMALLER.get(form, {})))
    for form in FORMATS:
        one, other = (bytes_of(tmp_path / f"{name}-{form}") for name in ("one", "other"))
        assert one == other
        assert one


# In the order in which trainers read.


def many(queries: int = 1200) -> tuple[dict[str, str], dict[str, str], Rows]:
    """Return a collection as SQuAD is one: each positive is shared by four queries, each query has three negatives."""
    of_queries = {f"q{n}": f"query {n}" for n in range(queries)}
    passages = {f"p{n}": f"passage {n}" for n in range(queries)}
    rows = []
    for n in range(queries):
        rows.append(candidate(f"q{n}", f"p{n // 4}", "positive", logit=2.0, grade=1.0))
        rows += [
            candidate(f"q{n}", f"p{(n * 7 + place * 13) % queries}", "negative", logit=-2.0, selected=place)
            for place in (1, 2, 3)
        ]
    return of_queries, passages, [row for row in rows if row["passage_id"] != f"p{int(row['query_id'][1:]) // 4}"
                                  or row["verdict"] == "positive"]  # fmt: skip


def parts_of(row: dict[str, Any], ids: bool) -> tuple[str, set[str]]:
    """Return a row's query and all its passages, whatever the format; by their numbers."""
    query = row.get("anchor") or row.get("query") or row["query_id"]
    if "passage" in row:
        texts = [row["passage"]]
    elif "passages" in row:
        texts = row["passages"]
    elif ids:
        texts = row["document_ids"]
    elif "pos" in row:
        texts = row["pos"] + row["neg"]
    else:
        texts = [text for name, text in row.items() if name == "positive" or name.startswith("negative")]
    return query.split(" ")[-1].strip("q"), {text.split(" ")[-1].strip("p") for text in texts}


@pytest.fixture(scope="module")
def squad_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    queries, passages, candidates = many()
    folder = tmp_path_factory.mktemp("squad_like") / "run"
    return write_run(folder, queries, passages, candidates, negatives=3, shards=2)


@pytest.mark.parametrize("form", FORMATS)
def test_batches_read_in_order_do_not_meet_themselves(form: str, squad_like: Path, tmp_path: Path) -> None:
    short = {"short": "drop"} if form in FIXED else {}
    manifest = export(str(squad_like), options(form, tmp_path / "out", **short))
    rows = rows_of(tmp_path / "out", "scores" if form == "pylate" else form)
    assert len(rows) >= 1190
    met = 0
    for start in range(0, len(rows), BATCH):
        batch = [parts_of(row, form == "pylate") for row in rows[start : start + BATCH]]
        for place, (query, _) in enumerate(batch):
            positive = str(int(query) // 4)
            met += any(positive in texts for other, (_, texts) in enumerate(batch) if other != place)
    assert met == manifest["rows_too_close"]
    assert met / len(rows) <= 0.01
    if form == "labeled-pair":
        mixed = [sum(row["label"] for row in rows[start : start + 64]) for start in range(0, len(rows) - 64, 64)]
        assert min(mixed) >= 4, "every batch has positives"
        assert max(mixed) <= 40


def test_a_row_with_several_positives_stands_apart_from_each() -> None:
    texts = [[b"%016d" % n] for n in range(400)]
    texts[50], texts[51], texts[52] = [b"a" * 16, b"b" * 16], [b"b" * 16, b"c" * 16], [b"c" * 16, b"a" * 16]
    lists = pa.array(texts, pa.list_(pa.binary(16)))
    queries = pa.array([b"q%015d" % n for n in range(400)], pa.binary(16))
    table = pa.table({"at": pa.array(range(400)), "query_text": queries, "shown": lists, "avoided": lists})
    order, clashes = reading_order(table, ("at",))
    places = sorted(order.to_pylist().index(row) for row in (50, 51, 52))
    assert clashes == 0
    assert min(np.diff(places)) > APART


# Options, and what can be wrong.


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A run with a query of three negatives, one of two, one of none; logits for all of them."""
    queries = {name: f"query {name}" for name in "abc"}
    passages = {f"p{n}": f"passage {n}" for n in range(9)}
    rows = [candidate(query, f"p{place}", "positive", logit=3.0) for place, query in enumerate("abc")]
    rows += [candidate("a", f"p{n + 2}", "negative", logit=-n, selected=n) for n in (1, 2, 3)]
    rows += [candidate("b", f"p{n + 5}", "negative", logit=-n, selected=n) for n in (1, 2)]
    return write_run(tmp_path / "run", queries, passages, rows, negatives=3, models={"cross_encoder": {}})


@pytest.mark.parametrize("form", FIXED)
def test_queries_with_fewer_negatives_are_a_choice(form: str, small: Path, tmp_path: Path) -> None:
    name = "scores" if form == "pylate" else form
    with pytest.raises(HardnegError, match=r"1 of 2 queries of .* fewer than 3 .*short drop.*short smaller"):
        export(str(small), options(form, tmp_path / "none"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    dropped = export(str(small), options(form, tmp_path / "drop", short="drop"))
    assert dropped["rows"][name] == 1
    assert dropped["counts"] | {"pairs": 0} == {
        "queries": 1, "queries_short": 1, "queries_left_out": 1, "pairs": 0, "pairs_without_logit": 0,
    }  # fmt: skip
    beside = export(str(small), options(form, tmp_path / "smaller", short="smaller"))
    assert {each: count for each, count in beside["rows"].items() if each.startswith(name)} == {name: 1, f"{name}-2": 1}
    two = export(str(small), options(form, tmp_path / "two", negatives=2))
    assert two["rows"][name] == 2
    four = export(str(small), options(form, tmp_path / "four", negatives=4, short="smaller"))
    assert [each for each in four["rows"] if each.startswith(name)] == [f"{name}-3", f"{name}-2"]
    assert f"config_name: {name}-3\n  default: true\n" in (tmp_path / "four" / "README.md").read_text()
    with pytest.raises(HardnegError, match=r"No query of .* has 4 negatives"):
        export(str(small), options(form, tmp_path / "none", negatives=4, short="drop"))


def test_the_choice_is_not_offered_where_there_is_none(capsys: pytest.CaptureFixture, small: Path) -> None:
    given = ["export", str(small), "--format", "triplet", "--output", str(small.parent / "out")]
    assert command([*given, "--short", "drop"]) == 2
    assert "--short belongs to n-tuple and pylate" in capsys.readouterr().err
    assert command(given) == 0
    printed = capsys.readouterr().out
    assert "5 rows" in printed
    assert "1 queries have no mined negative" in printed


@pytest.mark.parametrize(
    ("models", "advice"),
    [({}, "mined without a cross-encoder"), ({"cross_encoder": {}}, "--score all --score-missing")],
)
def test_a_pair_without_a_logit_is_an_error_with_scores(
    models: dict[str, Any], advice: str, small: Path, tmp_path: Path
) -> None:
    rows = [candidate("a", "p1", "positive", logit=1.0), candidate("a", "p2", "negative", selected=1)]
    run = write_run(tmp_path / "other", {"a": "a"}, {"p1": "one", "p2": "two"}, rows, negatives=1, models=models)
    for form in FORMATS:
        with pytest.raises(HardnegError, match=rf"1 of the 2 pairs of .* have no logit.*{advice}"):
            export(str(run), options(form, tmp_path / "out", scores=True))
    assert not (tmp_path / "out").exists()
    export(str(run), options("n-tuple", tmp_path / "out"))


def test_an_output_is_refused_replaced_and_never_half_there(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(str(small), options("triplet", out))
    with pytest.raises(HardnegError, match="it exists"):
        export(str(small), options("labeled-pair", out))
    export(str(small), options("labeled-pair", out, overwrite=True))
    assert json.loads((out / "manifest.json").read_text())["format"] == "labeled-pair"
    assert (tmp_path / "out.old" / "triplet").is_dir()
    for path in (small / "passages").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(HardnegError):
        export(str(small), options("triplet", tmp_path / "broken"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.old", "run"]


def test_a_full_disk_is_told(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "write_file", full)
    with pytest.raises(HardnegError, match=r"it cannot be written \(No space left on device\)"):
        export(str(small), options("triplet", tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("form", ["n-tuple", "pylate"])
def test_an_export_in_an_object_store(form: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shards are those on disk; only what an export may have left there is deleted before."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    FILES.clear()
    for path in small.rglob("*.*"):
        FILES[f"bucket://in/{path.relative_to(small).as_posix()}"] = (path.read_bytes(), 1.0)
    for name in ("n-tuple-3/part-00007-of-00009.parquet", "notes/part-1", "README.md"):
        FILES[f"bucket://out/{name}"] = (b"old", 1.0)
    given = {"format": form, "short": "smaller"}
    manifest = export("bucket://in", ExportOptions.model_validate({**given, "output": "bucket://out"}))
    export(str(small), options(form, tmp_path / "out", short="smaller"))
    found = {path.removeprefix("bucket://out/"): data for path, (data, _) in FILES.items() if "://out/" in path}
    assert found.pop("notes/part-1") == b"old"
    assert json.loads(found.pop("manifest.json")) == manifest
    assert found.pop("README.md") == (tmp_path / "out" / "README.md").read_bytes()
    assert found == bytes_of(tmp_path / "out")
    with pytest.raises(HardnegError, match="it exists"):
        export("bucket://in", ExportOptions.model_validate({**given, "output": "bucket://out"}))
    FILES.clear()


@pytest.mark.parametrize("inside", [".", "..", "triplets", "passages/x", "judge.json"])
def test_an_export_replaces_no_part_of_its_run(inside: str, small: Path) -> None:
    with pytest.raises(HardnegError, match="would replace a part of the run"):
        export(str(small), options("triplet", small / inside, overwrite=True))
    assert (small / "triplets").is_dir()


def test_a_run_that_does_not_say_what_was_held_out_is_refused(small: Path, tmp_path: Path) -> None:
    manifest = json.loads((small / "manifest.json").read_text())
    (small / "manifest.json").write_text(json.dumps(manifest | {"counts": {"positives_held_out": 1}}))
    with pytest.raises(HardnegError, match="which positives belong to an evaluation set"):
        export(str(small), options("triplet", tmp_path / "out"))
    rows = [candidate("a", "p1", "positive"), candidate("a", "p2", "positive", reason="held_out")]
    rows.append(candidate("a", "p3", "negative", selected=1))
    passages = {f"p{n}": f"passage {n}" for n in (1, 2, 3)}
    run = write_run(tmp_path / "new", {"a": "a"}, passages, rows, counts={"positives_held_out": 1})
    for form in FORMATS[2:5]:
        export(str(run), options(form, tmp_path / form))
        written = b"".join(bytes_of(tmp_path / form).values())
        assert b"passage 1" in written
        assert b"passage 2" not in written


def test_what_is_no_run_is_told(tmp_path: Path, small: Path, capsys: pytest.CaptureFixture) -> None:
    assert command(["export", str(tmp_path / "nothing"), "--format", "pylate", "--output", str(tmp_path / "out")]) == 2
    assert "is not a finished run" in capsys.readouterr().err
    for path in (small / "passages").iterdir():
        path.unlink()
    with pytest.raises(HardnegError, match="has no passages/"):
        export(str(small), options("triplet", tmp_path / "out"))


def test_hostile_text_is_one_line_and_comes_back(tmp_path: Path) -> None:
    texts = [HOSTILE, "", "a\u2028b", "\x00", "{}", "\ufeff"]
    table = pa.table({"query": texts, "pos": [[text, HOSTILE] for text in texts], "neg": [["no"]] * 6})
    data = json_lines(table)
    assert [json.loads(line) for line in data.decode().splitlines()] == table.to_pylist()
    datasets = pytest.importorskip("datasets")
    (tmp_path / "part.jsonl").write_bytes(data)
    given = {"data_files": str(tmp_path / "part.jsonl"), "split": "train", "cache_dir": str(tmp_path / "cache")}
    assert datasets.load_dataset("json", **given).to_list() == table.to_pylist()
    assert list(datasets.load_dataset("json", streaming=True, **given)) == table.to_pylist()


def test_row_groups_hold_as_many_texts_in_every_format() -> None:
    table = pa.table({"passage": ["text"] * 10_000})
    sizes = {}
    for texts in (2, 3, 7, 34):
        file = pq.ParquetFile(pa.BufferReader(shard_bytes("parquet", table, texts)))
        sizes[texts] = file.metadata.row_group(0).num_rows
    assert sizes == {2: 4096, 3: 4096, 7: 1755, 34: 361}
