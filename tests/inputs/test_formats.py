"""Random tables, written in each format that is accepted, are read back as they were."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from input_cases import ids, read
from profiles import examples

from hardneg.errors import InputError
from hardneg.transforms.core.text import passage_string, text_id
from hardneg.transforms.inputs.columns import parts_of
from hardneg.transforms.inputs.formats.registry import format_of
from hardneg.transforms.inputs.input_files import BROKEN_QUOTES, INVALID_UTF8, WRONG_COLUMNS
from hardneg.transforms.inputs.looking import look_into
from hardneg.transforms.inputs.parsing import whole_number
from hardneg.transforms.inputs.paths import FoundFile, files_at

# No lone "\r" in cells: a csv writer ends a line with it, and a reader of TSV as it stands does not.
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TEXT = ANY | st.sampled_from(['"', '""', 'a "b" c', '"a"', "a\tb", "a\nb", "\ufeffa", "a,b", " ", "7.0", "''", "é"])
CELL = TEXT.map(lambda text: text.replace("\r", ""))
LINE = CELL.map(lambda text: text.replace("\n", "").replace("\t", "").replace('"', ""))
# In CSV a lone blank line is no row: an id keeps every row from being one.
IDS = st.one_of(st.integers(0, 2**40).map(str), st.sampled_from(["a b", "7.0", "x\u00a0y", "#1", "ü"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


Row = dict[str, Any]
NAMES = ("_id", "title", "text")


def arrow(rows: list[Row]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows]) for name in NAMES})


def jsonl(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows).encode("utf-8-sig")


def json_array(rows: list[Row]) -> bytes:
    return json.dumps(rows, indent=1).encode("utf-8-sig")


def parquet(rows: list[Row]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(arrow(rows), sink, row_group_size=3)
    return sink.getvalue()


def arrow_stream(rows: list[Row]) -> bytes:
    sink = io.BytesIO()
    table = arrow(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def arrow_file(rows: list[Row]) -> bytes:
    sink = io.BytesIO()
    table = arrow(rows)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def separated(rows: list[Row], delimiter: str, **options: Any) -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, **options)
    writer.writerows([NAMES, *([row[name] for name in NAMES] for row in rows)])
    return sink.getvalue().encode("utf-8-sig")


def gzip_in_parts(data: bytes) -> bytes:
    """Several gzip members, as `cat a.gz b.gz` and some writers make them."""
    return b"".join(gzip.compress(data[place : place + 50]) for place in range(0, len(data), 50)) or gzip.compress(b"")


def passages_of(path: Path) -> list[tuple[str, str]]:
    [found] = files_at(str(path), "corpus")
    rows = read(look_into("passages", found, parts_of("passages")))
    assert not rows["rejected"]
    return ids(rows["passages"], "passage_id", "text")


def expected(rows: list[Row]) -> list[tuple[str, str]]:
    blank = [{name: value if value and value.strip() else "" for name, value in row.items()} for row in rows]
    floats = all(whole_number(row["_id"]) for row in rows)  # else 7.0 is an id like another
    return [
        (str(whole_number(row["_id"])) if floats else row["_id"], passage_string(row["title"], row["text"]))
        for row in blank
    ]


def tables(cell: st.SearchStrategy[str], nullable: bool = False) -> st.SearchStrategy[list[Row]]:
    title = cell | st.none() if nullable else cell
    row = st.fixed_dictionaries({"_id": IDS, "title": title, "text": cell.map(lambda text: "x" + text)})
    return st.lists(row, min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("c.jsonl", jsonl),
        ("c.ndjson.gz", lambda rows: gzip_in_parts(jsonl(rows))),
        ("c.json", json_array),
        ("c.json.bz2", lambda rows: bz2.compress(json_array(rows))),
        ("c.parquet", parquet),
        ("c.arrow", arrow_stream),
        ("c.feather", arrow_file),
    ],
)
@examples(40)
@given(data=st.data())
def test_typed_formats_read_back_equal(
    folder: Path, name: str, write: Callable[[list[Row]], bytes], data: st.DataObject
) -> None:
    rows = data.draw(tables(ANY, nullable=True))
    (folder / name).write_bytes(write(rows))
    assert passages_of(folder / name) == expected(rows)


@pytest.mark.parametrize("name", ["c.csv", "c.csv.gz"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@examples(15)
@given(rows=tables(CELL))
def test_csv_reads_back_equal(folder: Path, name: str, delimiter: str, quoting: int, rows: list[Row]) -> None:
    data = separated(rows, delimiter, quoting=quoting)
    (folder / name).write_bytes(gzip_in_parts(data) if name.endswith("gz") else data)
    assert passages_of(folder / name) == expected(rows)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@examples(60)
@given(rows=tables(CELL))
@example(rows=[{"_id": "1", "title": 'a "b" c', "text": "x\ty\nz"}])
def test_tsv_of_csv_writers_reads_back_equal(folder: Path, ending: str, rows: list[Row]) -> None:
    """The rows that follow show how the file was written; a file without a quoted cell is the same either way."""
    witness = [{"_id": f"w{n}", "title": f'the "{n}"', "text": "x"} for n in range(2)]
    data = separated([*rows, *witness], "\t", lineterminator=ending)
    (folder / "c.tsv").write_bytes(data)
    assert passages_of(folder / "c.tsv") == expected([*rows, *witness])


@examples(60)
@given(rows=tables(LINE), stray=st.sampled_from(['5" disk', 'the "quoted" word', '"A" and "B"', '"unfinished']))
def test_stray_quotes_of_tsv_stay(folder: Path, rows: list[Row], stray: str) -> None:
    rows = [*rows, {"_id": "s", "title": stray, "text": "x"}, {"_id": "t", "title": "", "text": f"x {stray}"}]
    lines = ["\t".join(NAMES), *("\t".join(row[name] for name in NAMES) for row in rows)]
    (folder / "c.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert passages_of(folder / "c.tsv") == expected(rows)


def test_a_tsv_that_speaks_for_both_is_refused(folder: Path) -> None:
    path = folder / "both.tsv"
    path.write_text('_id\ttext\n1\t"He said ""yes"""\n2\ta 5" disk\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"1 cells of its first 3 lines are quoted .* convert it"):
        passages_of(path)


def test_a_slip_in_a_quoted_file_costs_its_own_row(folder: Path) -> None:
    good = [f'{n}\t"a ""{n}"" b"\tx' for n in range(30)]
    broken = {"b1\ttoo few": WRONG_COLUMNS, "b2\tcaf\udce9\tx": INVALID_UTF8, 'b3\t"never closed\tx': BROKEN_QUOTES}
    data = "\n".join(["_id\ttext\ttitle", *good, *broken, *good[:5]]).encode("utf-8", "surrogateescape")
    (folder / "c.tsv").write_bytes(data)
    [found] = files_at(str(folder / "c.tsv"), "corpus")
    rows = read(look_into("passages", found, parts_of("passages")))
    assert ids(rows["rejected"], "line", "reason") == list(zip((32, 33, 34), broken.values(), strict=True))
    assert len(rows["passages"]) == 35
    assert rows["passages"][0]["text"] == 'x a "0" b'


@pytest.mark.parametrize("name", ["c.parquet", "c.jsonl", "c.json", "c.arrow"])
@given(numbers=st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=5))
@examples(15)
def test_floats_that_are_whole_are_ids(folder: Path, name: str, numbers: list[int]) -> None:
    rows = [{"_id": float(number), "title": None, "text": "x"} for number in numbers]
    write = {"c.parquet": parquet, "c.jsonl": jsonl, "c.json": json_array, "c.arrow": arrow_stream}[name]
    (folder / name).write_bytes(write(rows))
    assert passages_of(folder / name) == [(str(number), "x") for number in numbers]


POSITIVES = st.lists(
    st.one_of(
        ANY.map(lambda text: "x" + text),
        st.fixed_dictionaries({"docid": IDS, "title": ANY, "text": ANY.map(lambda text: "x" + text)}),
    ),
    max_size=4,
)


@pytest.mark.parametrize("name", ["p.jsonl", "p.json"])
@examples(40)
@given(rows=st.lists(st.tuples(POSITIVES | st.none(), POSITIVES), min_size=1, max_size=6))
def test_lists_of_texts_and_objects_read_back_equal(folder: Path, name: str, rows: list[Any]) -> None:
    """A null or an empty list is a query without a positive; negatives are passages without a judgement."""
    named = [{"query": f"q{n}", "positive_passages": a, "negative_passages": b} for n, (a, b) in enumerate(rows)]
    (folder / name).write_bytes((jsonl if name == "p.jsonl" else json_array)(named))
    [found] = files_at(str(folder / name), "pairs")
    read_back = read(look_into("pairs", found, parts_of("pairs")))

    def passages(values: list[Any] | None) -> list[tuple[str, str]]:
        filled = [
            each if isinstance(each, dict) else {"docid": None, "title": "", "text": each} for each in values or ()
        ]
        texts = [passage_string(each["title"] if each["title"].strip() else "", each["text"]) for each in filled]
        return [(each["docid"] or text_id(text), text) for each, text in zip(filled, texts, strict=True)]

    wanted = [(f"q{n}", passage) for n, (positives, _) in enumerate(rows) for passage in passages(positives)]
    assert not read_back["rejected"]
    assert [row["text"] for row in read_back["queries"]] == [f"q{n}" for n in range(len(rows))]
    assert sorted(set(ids(read_back["qrels"], "query_id", "passage_id"))) == sorted(
        {(text_id(query), passage_id) for query, (passage_id, _) in wanted}
    )
    assert set(ids(read_back["passages"], "passage_id", "text")) == {
        passage for pair in rows for values in pair for passage in passages(values)
    }


@pytest.mark.parametrize("name", ["n.parquet", "n.arrow"])
@examples(30)
@given(
    rows=st.lists(
        st.none() | st.lists(st.tuples(IDS, st.none() | ANY, ANY.map(lambda text: "x" + text)), max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_nested_columns_read_back_equal(folder: Path, name: str, rows: list[Any]) -> None:
    """Lists of structs, null and empty ones among them, as Tevatron's and MIRACL's sets are on the hub."""
    passage = pa.struct([("docid", pa.string()), ("title", pa.string()), ("text", pa.string())])
    listed = [
        None if row is None else [dict(zip(("docid", "title", "text"), p, strict=True)) for p in row] for row in rows
    ]
    columns = {"query": [f"q{n}" for n in range(len(rows))], "positive_passages": pa.array(listed, pa.list_(passage))}
    if name == "n.parquet":
        pq.write_table(pa.table(columns), folder / name, row_group_size=2)
    else:
        with pa.ipc.new_file(folder / name, pa.table(columns).schema) as writer:
            writer.write_table(pa.table(columns), max_chunksize=2)
    [found] = files_at(str(folder / name), "pairs")
    read_back = read(look_into("pairs", found, parts_of("pairs")))
    wanted = {
        (
            text_id(f"q{n}"),
            each["docid"],
            passage_string(each["title"] if (each["title"] or "").strip() else "", each["text"]),
        )
        for n, row in enumerate(listed)
        for each in row or ()
    }
    texts: dict[str, set[str]] = {}
    for row in read_back["passages"]:
        texts.setdefault(row["passage_id"], set()).add(row["text"])
    assert not read_back["rejected"]
    assert len(read_back["queries"]) == len(rows)
    assert set(ids(read_back["qrels"], "query_id", "passage_id")) == {(query, docid) for query, docid, _ in wanted}
    assert all(text in texts[docid] for _, docid, text in wanted)


JUDGED = st.lists(
    st.tuples(IDS.filter(lambda each: "." not in each), IDS.filter(lambda each: "." not in each), st.integers(-2, 3)),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("form", ["trec.txt", "trec.qrels.gz", "beir.tsv", "bare.tsv", "q.csv", "q.jsonl", "q.parquet"])
@examples(12)
@given(rows=JUDGED)
def test_judgements_read_back_equal(folder: Path, form: str, ending: str, mark: str, rows: list[Any]) -> None:
    if form.startswith("trec"):  # blanks stand between its fields
        rows = [(query.replace(" ", "_"), passage.replace(" ", "_"), grade) for query, passage, grade in rows]
    names = ("query-id", "corpus-id", "score")
    line = {"trec": "{} 0 {} {}", "q.csv": "{},{},{}"}.get(form if form == "q.csv" else form[:4], "{}\t{}\t{}")
    head = [line.format(*names)] if form in ("beir.tsv", "q.csv") else []
    if form == "q.parquet":
        pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), folder / form)
    elif form == "q.jsonl":
        text = ending.join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)
        (folder / form).write_bytes((mark + text).encode())
    else:
        data = (mark + ending.join([*head, *(line.format(*row) for row in rows)])).encode()
        (folder / form).write_bytes(gzip_in_parts(data) if form.endswith("gz") else data)
    [found] = files_at(str(folder / form), "qrels")
    read_back = read(look_into("qrels", found, ()))
    assert not read_back["rejected"]
    assert ids(read_back["qrels"], "query_id", "passage_id", "grade") == rows


@given(cut=st.integers(1, 40))
@examples(20)
def test_a_json_array_that_is_cut_off_is_an_error(folder: Path, cut: int) -> None:
    data = json_array([{"_id": "1", "title": "", "text": "x"}, {"_id": "2", "title": "", "text": "y"}])
    (folder / "cut.json").write_bytes(data[:-cut])
    with pytest.raises(InputError, match=r"cut\.json: its JSON array can't be read from row [123] on"):
        passages_of(folder / "cut.json")


def test_a_long_json_array_is_read_in_pieces(folder: Path) -> None:
    rows = [{"_id": str(n), "title": "", "text": "x" * 9000 + str(n)} for n in range(500)]
    (folder / "long.json").write_bytes(json_array(rows))
    assert passages_of(folder / "long.json") == expected(rows)
    assert format_of(str(folder / "long.json")).name == "json-array"


def test_a_json_file_of_lines_is_no_array(folder: Path) -> None:
    (folder / "lines.json").write_text('\n[1, 2]\n{"_id": "1", "text": "x"}\n')
    assert format_of(str(folder / "lines.json")).name == "jsonl"


@pytest.mark.parametrize(("splits", "said"), [(0, None), (2, "holds the splits test, train: give one of them")])
def test_folders_of_save_to_disk(tmp_path: Path, splits: int, said: str | None) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"_id": str(n), "title": "", "text": f"x{n}"} for n in range(7)]
    data = datasets.Dataset.from_list(rows)
    whole = datasets.DatasetDict({"train": data, "test": data}) if splits else data
    whole.save_to_disk(str(tmp_path / "saved"), **({} if splits else {"num_shards": 2}))
    if said:
        with pytest.raises(InputError, match=said):
            files_at(str(tmp_path / "saved"), "corpus")
        assert len(files_at(str(tmp_path / "saved" / "test"), "corpus")) == 1
    else:
        files = files_at(str(tmp_path / "saved"), "corpus")
        found = [read(look_into("passages", FoundFile(f.path, f.size), parts_of("passages"))) for f in files]
        assert [row["passage_id"] for each in found for row in each["passages"]] == [row["_id"] for row in rows]
