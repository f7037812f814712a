"""`hardneg export`: every format holds what the run mined, and its own trainer takes it.

PyLate's and FlagEmbedding's own loading code is run where it is installed (``pip install --no-deps pylate
FlagEmbedding peft ir-datasets``: their pins don't fit ours, their loading code does); else the forms are checked alone.
"""

from __future__ import annotations

import errno
import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from conftest import Run
from finished_run import CANDIDATES, candidate, write_run
from hypothesis import given, settings
from hypothesis import strategies as st
from object_store import FILES
from tiny_models import save_tiny

from hardneg.errors import HardnegError
from hardneg.pipelines import driver
from hardneg.pipelines.audit import audit
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.config import MineConfig
from hardneg.pipelines.export import export
from hardneg.pipelines.options import AuditOptions, ExportOptions
from hardneg.transforms.export_choice import Asked, choose_pairs
from hardneg.transforms.exporting import FIXED, FORMATS, json_lines, shard_bytes
from hardneg.transforms.text import normalise
from hardneg.transforms.writing import APART, layout

Rows = list[dict[str, Any]]
HOSTILE = 'line\nbreaks\r\n\t"quotes" \\ \x00 \x85\u2028\u2029 \U0001f984 \u4e2d\u6587 \u0627\u0644 e\u0301'
SMALLER = {form: {"short": "smaller"} for form in FIXED}
PARQUET = [form for form in FORMATS if form != "flagembedding"]


def options(form: str, output: Path, **given: Any) -> ExportOptions:
    return ExportOptions.model_validate({"format": form, "output": str(output), **given})


def rows_of(folder: Path, table: str) -> Rows:
    """Return a table's rows in the order of the files."""
    rows: Rows = []
    for path in sorted((folder / table).iterdir()):
        if path.suffix == ".jsonl":
            rows += [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        else:
            rows += pq.read_table(path).to_pylist()
    return rows


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("part-*"))}


# What was mined, without any of the code under test.


class Expected:
    """A hand-made run's queries: text, positives and negatives as (id, text, logit), negatives in their order."""

    def __init__(self, queries: dict[str, str], passages: dict[str, str], candidates: Rows, negatives: int) -> None:
        self.queries: list[tuple[str, str, Rows, Rows]] = []
        for query in sorted(queries):
            own = sorted((row for row in candidates if row["query_id"] == query), key=lambda row: row["passage_id"])
            found = [{**row, "text": passages[row["passage_id"]]} for row in own]
            texts: dict[str, dict[str, Any]] = {}
            for row in found:
                if row["verdict"] == "positive" and row["reason"] is None:
                    texts.setdefault(normalise(row["text"]), row)
            mined = sorted((row for row in found if row["selected"]), key=lambda row: row["selected"])
            if texts and mined:
                self.queries.append((query, queries[query], list(texts.values()), mined[:negatives]))

    def rows(self, form: str, size: int, scores: bool) -> Rows:
        made = {
            "triplet": self._triplets,
            "n-tuple": self._tuples,
            "labeled-pair": self._pairs,
            "labeled-list": self._lists,
            "flagembedding": self._flagembedding,
            "pylate": self._ids,
        }[form]
        return list(made(size, scores))

    def _triplets(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            for one in positives:
                for other in negatives:
                    row = {"anchor": text, "positive": one["text"], "negative": other["text"]}
                    yield row | ({"scores": [one["logit"], other["logit"]]} if scores else {})

    def _tuples(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            for one in positives if len(negatives) == size else []:
                row = {"anchor": text, "positive": one["text"]}
                row |= {f"negative_{place + 1}": other["text"] for place, other in enumerate(negatives)}
                yield row | ({"scores": [each["logit"] for each in (one, *negatives)]} if scores else {})

    def _ids(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for query, _, positives, negatives in self.queries:
            for one in positives if len(negatives) == size else []:
                own = (one, *negatives)
                yield {
                    "query_id": query,
                    "document_ids": [each["passage_id"] for each in own],
                    "scores": [each["logit"] for each in own],
                }

    def _pairs(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            for label, pairs in ((1, positives), (0, negatives)):
                for each in pairs:
                    row = {"query": text, "passage": each["text"]}
                    yield row | ({"score": each["logit"]} if scores else {"label": label})

    def _lists(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            own = [*positives, *negatives]
            row: dict[str, Any] = {"query": text, "passages": [each["text"] for each in own]}
            labels = [1] * len(positives) + [0] * len(negatives)
            yield row | ({"scores": [each["logit"] for each in own]} if scores else {"labels": labels})

    def _flagembedding(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            parts = {"pos": positives, "neg": negatives}
            row: dict[str, Any] = {name: [each["text"] for each in part] for name, part in parts.items()}
            if scores:
                row |= {f"{name}_scores": [each["logit"] for each in part] for name, part in parts.items()}
            yield {"query": text} | row


def made_up(seed: int, queries: int = 12) -> tuple[dict[str, str], dict[str, str], Rows]:
    """Return queries, passages (some of equal text, some hostile) and candidates with every kind of row."""
    rng = np.random.default_rng(seed)
    of_queries = {f"q{n}": f"{HOSTILE if n == 3 else 'Query'} {n // 2}" for n in range(queries)}
    passages = {f"p{n}": f"{HOSTILE if n % 5 == 0 else 'passage'} {n // 2 if n < 8 else n}" for n in range(30)}
    passages["p1"] = passages["p0"].upper()
    rows: Rows = []
    for query in of_queries:
        place = 0
        for number in rng.permutation(30)[: int(rng.integers(0, 14))].tolist():
            kind = int(rng.integers(0, 6))
            row = {"query": query, "passage": f"p{number}", "logit": float(np.float32(rng.normal(0, 3)))}
            if kind < 2:
                reason = "weak_positive" if rng.random() < 0.1 else None
                rows.append(candidate(**row, verdict="positive", reason=reason, grade=1.0))
            elif kind < 5:
                place += 1
                rows.append(candidate(**row, verdict="negative", selected=place))
            else:
                rows.append(candidate(**row, verdict="suspected_positive", reason="above_threshold"))
    return of_queries, passages, rows


def comparable(rows: Rows) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


@settings(max_examples=8, deadline=None)
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


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), negatives=st.integers(1, 4), exactly=st.booleans(), relabel=st.booleans())
def test_pairs_are_those_of_whole_queries(seed: int, negatives: int, exactly: bool, relabel: bool) -> None:
    _, _, rows = made_up(seed, queries=5)
    table = pa.Table.from_pylist(rows, schema=CANDIDATES)
    chosen = choose_pairs(table, Asked(negatives, relabel, exactly))
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


def parts_of(row: dict[str, Any]) -> tuple[str, list[str]]:
    """Return a row's query and its positives, whatever the format."""
    query = row.get("anchor") or row.get("query") or row["query_id"]
    if "label" in row:
        return query, [row["passage"]] * row["label"]
    if "labels" in row:
        return query, [text for text, label in zip(row["passages"], row["labels"], strict=True) if label]
    if "document_ids" in row:
        return query, row["document_ids"][:1]
    return query, row.get("pos") or [row["positive"]]


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
    for start in range(0, len(rows), APART + 1):
        seen: set[tuple[str, str]] = set()
        for query, positives in map(parts_of, rows[start : start + APART + 1]):
            keys = {("query", query), *(("positive", each) for each in positives)}
            met += bool(keys & seen)
            seen |= keys
    assert met / len(rows) <= 0.01
    assert manifest["rows_too_close"] / len(rows) <= 0.02
    if form == "labeled-pair":
        mixed = [sum(row["label"] for row in rows[start : start + 64]) for start in range(0, len(rows) - 64, 64)]
        assert min(mixed) >= 4, "every batch has positives"
        assert max(mixed) <= 40


def test_a_row_with_several_positives_stands_apart_from_each() -> None:
    texts = [[b"%016d" % n] for n in range(200)]
    texts[50], texts[51], texts[52] = [b"a" * 16, b"b" * 16], [b"b" * 16, b"c" * 16], [b"c" * 16, b"a" * 16]
    table = pa.table(
        {
            "at": pa.array(range(200)),
            "query_text": pa.array([b"q%015d" % n for n in range(200)], pa.binary(16)),
            "positive_text": pa.array(texts, pa.list_(pa.binary(16))),
        }
    )
    order, close = layout(table, ("at",))
    places = sorted(order.to_pylist().index(row) for row in (50, 51, 52))
    assert close == 0
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
    with pytest.raises(HardnegError, match=r"1 of 2 queries of .* fewer than 3 .*--short drop.*--short smaller"):
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

    monkeypatch.setattr("hardneg.transforms.storage.write_file", full)
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
        file = pq.ParquetFile(pa.BufferReader(shard_bytes("n-tuple", table, texts)))
        sizes[texts] = file.metadata.row_group(0).num_rows
    assert sizes == {2: 4096, 3: 4096, 7: 1755, 34: 361}


# A mined run, and the trainers themselves.


# Whatever the bundled cross-encoder thinks of the passages: every sigmoid is below 1, so no query is short.
@pytest.fixture(scope="module")
def mined(animals: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("mined") / "out"
    config = MineConfig(
        input=str(animals), output=str(output), k=12, negatives=3, min_relevance=2, max_sigmoid=1.0, output_shards=2,
        cross_encoder_max_length=64, format=["n-tuple", "flagembedding"],
    )  # fmt: skip
    return Run(output, driver.mine(config, []))


@pytest.fixture(scope="module")
def exported(mined: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that exports the mined run, once for each form."""
    folder = tmp_path_factory.mktemp("exported")

    def get(form: str, scores: bool = False) -> Path:
        out = folder / f"{form}-{scores}"
        if not out.exists():
            short = {"short": "drop"} if form in FIXED else {}
            export(str(mined.folder), options(form, out, scores=scores, **short))
        return out

    return get


@pytest.fixture(scope="module")
def load(exported: Callable[..., Path]) -> Callable[..., Any]:
    datasets = pytest.importorskip("datasets")

    def get(form: str, scores: bool = False, name: str | None = None) -> Any:
        out = exported(form, scores)
        return datasets.load_dataset(str(out), name, split="train", cache_dir=str(out.parent / "cache"))

    return get


def test_triplets_are_those_of_the_run_byte_for_byte(mined: Run, exported: Callable[..., Path]) -> None:
    for path in sorted((mined.folder / "triplets").iterdir()):
        assert (exported("triplet") / "triplet" / path.name).read_bytes() == path.read_bytes()


def test_a_format_asked_for_at_mining_time_is_the_export(mined: Run, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(mined.folder), split="train", streaming=True)
    assert sorted(next(iter(loaded))) == ["anchor", "negative", "positive"], "the run itself still loads"
    for form in ("n-tuple", "flagembedding"):
        export(str(mined.folder), options(form, tmp_path / form, **SMALLER.get(form, {})))
        assert bytes_of(tmp_path / form) == bytes_of(mined.folder / form)
    assert {shard["name"].split("/")[0] for shard in mined.manifest["shards"]} == {
        "triplets", "candidates", "suspect_pairs", "passages", "queries",
    } & {path.name for path in mined.folder.iterdir()}  # fmt: skip


def test_an_export_that_fails_after_mining_leaves_the_run(tmp_path: Path) -> None:
    rows = [candidate("a", "p1", "positive"), candidate("a", "p2", "negative", selected=1)]
    run = write_run(tmp_path / "run", {"a": "a"}, {"p1": "one", "p2": "two"}, rows, negatives=1)
    config = MineConfig(input="inputs", output=str(run), format=["triplet", "pylate", "n-tuple"])
    with pytest.raises(HardnegError, match=r"is finished, but was not exported as pylate: 2 of the 2 pairs"):
        driver._export(config)
    assert (run / "manifest.json").exists()
    assert (run / "triplet" / "manifest.json").exists()
    assert not (run / "pylate").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_exports_stream(form: str, exported: Callable[..., Path], load: Callable[..., Any]) -> None:
    datasets = pytest.importorskip("datasets")
    out = exported(form)
    whole = load(form)
    table = "scores" if form == "pylate" else form
    assert list(datasets.load_dataset(str(out), split="train", streaming=True)) == whole.to_list()
    assert whole.to_list() == rows_of(out, table), "in the order of the files"
    if form in PARQUET:
        arrow = pyarrow.dataset.dataset(out / table, format="parquet")
        assert arrow.count_rows() == len(whole)
    if form == "pylate":
        assert load(form, name="train").to_list() == whole.to_list()
        assert load(form, name="queries").column_names == ["query_id", "text"]
        assert load(form, name="documents").column_names == ["document_id", "text"]
    else:
        labels = {"label", "labels", "score", "scores"}
        assert not labels & set(whole.column_names) or form.startswith("labeled")


@pytest.mark.parametrize("form", ["triplet", "n-tuple", "flagembedding"])
def test_the_audit_finds_nothing_wrong(form: str, exported: Callable[..., Path]) -> None:
    report = audit([str(exported(form, scores=True) / form)], AuditOptions.model_validate({}))
    assert report.clean
    assert report.negatives > 20


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tiny")
    return {
        "bi-encoder": str(save_tiny(folder / "bi", head=False)),
        "cross-encoder": str(save_tiny(folder / "cross")),
    }


def two_steps(trainer_type: Any, arguments_type: Any, model: Any, loss: Any, dataset: Any, folder: Path) -> None:
    """Train two real steps, in the order of the rows, and see that the loss is a number and the weights move."""
    torch = pytest.importorskip("torch")
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    arguments = arguments_type(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=8, learning_rate=0.01, use_cpu=True,
        save_strategy="no", report_to="none", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trainer = trainer_type(model=model, args=arguments, train_dataset=dataset, loss=loss)
    result = trainer.train()
    assert result.global_step == 2
    assert math.isfinite(result.training_loss)
    assert any(not torch.equal(before[name], weight) for name, weight in model.named_parameters())


@pytest.mark.parametrize(
    ("loss", "form", "scores"),
    [
        ("MultipleNegativesRankingLoss", "triplet", False),
        ("MultipleNegativesRankingLoss", "n-tuple", False),
        ("CachedMultipleNegativesRankingLoss", "n-tuple", False),
        ("TripletLoss", "triplet", False),
        ("MarginMSELoss", "triplet", True),
        ("MarginMSELoss", "n-tuple", True),
        ("DistillKLDivLoss", "triplet", True),
        ("DistillKLDivLoss", "n-tuple", True),
    ],
)
def test_sentence_transformers_trains(
    loss: str, form: str, scores: bool, load: Callable[..., Any], tiny: dict[str, str], tmp_path: Path
) -> None:
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer import losses

    model = SentenceTransformer(tiny["bi-encoder"], device="cpu")
    made = getattr(losses, loss)(model)
    two_steps(
        SentenceTransformerTrainer, SentenceTransformerTrainingArguments, model, made, load(form, scores), tmp_path
    )


@pytest.mark.parametrize(
    ("loss", "form", "scores"),
    [
        ("BinaryCrossEntropyLoss", "labeled-pair", False),
        ("MSELoss", "labeled-pair", True),
        ("LambdaLoss", "labeled-list", False),
        ("ListNetLoss", "labeled-list", True),
    ],
)
def test_cross_encoders_train(
    loss: str, form: str, scores: bool, load: Callable[..., Any], tiny: dict[str, str], tmp_path: Path
) -> None:
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        losses,
    )

    model = CrossEncoder(tiny["cross-encoder"], device="cpu")
    made = getattr(losses, loss)(model)
    two_steps(CrossEncoderTrainer, CrossEncoderTrainingArguments, model, made, load(form, scores), tmp_path)


def test_margins_are_those_of_the_logits(mined: Run, load: Callable[..., Any]) -> None:
    """What MarginMSELoss and DistillKLDivLoss take: [positive, negative_1, ...], the raw logits, as float32."""
    texts = {row["passage_id"]: row["text"] for row in mined.rows("passages")}
    queries = {row["query_id"]: row["text"] for row in mined.rows("queries")}
    scored = [row for row in mined.rows("candidates") if row["logit"] is not None]  # a passage has twins, unscored
    logits = {(queries[row["query_id"]], texts[row["passage_id"]]): row["logit"] for row in scored}
    for row in load("n-tuple", True):
        passages = [row["positive"], *(row[f"negative_{place}"] for place in (1, 2, 3))]
        assert row["scores"] == [logits[row["anchor"], text] for text in passages]


@pytest.mark.parametrize("scores", [False, True])
def test_flagembedding_rows_have_its_form(scores: bool, exported: Callable[..., Path]) -> None:
    keys = ["query", "pos", "neg", *(["pos_scores", "neg_scores"] if scores else [])]
    rows = rows_of(exported("flagembedding", scores), "flagembedding")
    assert len(rows) > 10
    for row in rows:
        assert list(row) == keys
        assert row["pos"]
        assert row["neg"], "an empty list crashes the trainer"
        if scores:
            assert [len(row["pos_scores"]), len(row["neg_scores"])] == [len(row["pos"]), len(row["neg"])]
            assert all(isinstance(score, float) for score in (*row["pos_scores"], *row["neg_scores"]))


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_flagembedding_loads(
    kind: str, scores: bool, exported: Callable[..., Path], tiny: dict[str, str], tmp_path: Path
) -> None:
    finetune = pytest.importorskip(f"FlagEmbedding.abc.finetune.{kind}", exc_type=ImportError)
    from transformers import AutoTokenizer

    name = f"Abs{kind.title()}"
    arguments = getattr(finetune, f"{name}DataArguments")(
        train_data=[str(exported("flagembedding", scores) / "flagembedding")], train_group_size=4,
        knowledge_distillation=scores, cache_path=str(tmp_path),
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tiny["bi-encoder"])
    dataset = getattr(finetune, f"{name}TrainDataset")(arguments, tokenizer)
    assert len(dataset) == len(rows_of(exported("flagembedding", scores), "flagembedding"))
    batch = getattr(finetune, f"{name}Collator")(tokenizer)([dataset[row] for row in range(4)])
    teacher = batch["teacher_scores"]
    assert (teacher is None) if not scores else len(teacher) == 16


def test_pylate_tables_belong_together(load: Callable[..., Any]) -> None:
    """What its ``KDProcessing`` asks for: every id has its text, and every row as many scores as documents."""
    scores, queries, documents = (load("pylate", name=name) for name in ("scores", "queries", "documents"))
    assert [scores.column_names, queries.column_names, documents.column_names] == [
        ["query_id", "document_ids", "scores"], ["query_id", "text"], ["document_id", "text"],
    ]  # fmt: skip
    assert {row["query_id"] for row in scores} == set(queries["query_id"])
    assert {each for row in scores for each in row["document_ids"]} <= set(documents["document_id"])
    assert {(len(row["document_ids"]), len(row["scores"])) for row in scores} == {(4, 4)}


def test_pylate_loads(load: Callable[..., Any]) -> None:
    utils = pytest.importorskip("pylate.utils", exc_type=ImportError)
    torch = pytest.importorskip("torch")
    train, queries, documents = (load("pylate", name=name) for name in ("train", "queries", "documents"))
    texts = dict(zip(documents["document_id"], documents["text"], strict=True))
    ids = train["document_ids"][:]
    train.set_transform(utils.KDProcessing(queries=queries, documents=documents, n_ways=4).transform)
    rows = [train[row] for row in range(len(train))]
    assert [row["documents"] for row in rows] == [[texts[each] for each in row] for row in ids]
    collator = utils.ColBERTCollator(tokenize_fn=_tokenize)
    batch = collator([{name: row[name] for name in ("query", "documents", "scores")} for row in rows[:4]])
    assert batch["label"].shape == (4, 4)
    assert batch["label"].dtype == torch.float32


def _tokenize(texts: list[str], **_: Any) -> dict[str, Any]:
    import torch

    return {name: torch.zeros((len(texts), 2), dtype=torch.long) for name in ("input_ids", "attention_mask")}
