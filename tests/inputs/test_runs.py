"""TREC run files of other systems."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.errors import InputError
from hardneg.transforms.inputs.trec_runs import read_run
from hardneg.transforms.inputs.trec_runs_stage import run_tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def written(folder: Path, data: bytes, name: str = "my.run") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def test_a_run(folder: Path) -> None:
    data = (
        b"\xef\xbb\xbfq2 Q0 p1 1 0.5 tag\n"
        b"q1 Q0 p3 9 -1.5 tag\n"  # its rank says otherwise; the score counts
        b"q1\tQ0\tp1\t2\t2e1\ttag\r\n"
        b"\n"
        b"q1 Q0 p2 1 2e1 tag\n"
        b"  q1 Q0 p0 4 -inf tag with spaces\n" + "q文 Q0 p文 1 1 t".encode()
    )
    expected = {"q2": ["p1"], "q1": ["p1", "p2", "p3", "p0"], "q文": ["p文"]}
    assert read_run(written(folder, data)) == expected
    assert read_run(written(folder, gzip.compress(data), "my.run.gz")) == expected


IDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(IDS, IDS, st.integers(-99, 99)), min_size=1, max_size=20, unique_by=lambda row: row[:2]))
def test_runs_read_back_equal(folder: Path, rows: list[tuple[str, str, int]]) -> None:
    """Ids with a blank need tabs between the fields."""
    expected: dict[str, list[tuple[int, str]]] = {}
    for query, passage, score in rows:
        expected.setdefault(f"{query} 7", []).append((-score, f"{passage} 8"))
    lines = [f"{query} 7\tQ0\t{passage} 8\t1\t{score}\tmine" for query, passage, score in rows]
    assert read_run(written(folder, "\r\n".join(lines).encode())) == {
        query: [passage for _, passage in sorted(found)] for query, found in expected.items()
    }


@settings(deadline=None)
@given(st.permutations([(f"p{number}", score) for number, score in enumerate([3.0, 1.0, 1.0, 2.0, 1.0])]))
def test_the_order_of_the_lines_does_not_count(folder: Path, rows: list[tuple[str, float]]) -> None:
    data = "\n".join(f"q Q0 {passage} 0 {score} t" for passage, score in rows).encode()
    assert read_run(written(folder, data)) == {"q": ["p0", "p3", "p1", "p2", "p4"]}


def test_of_a_passage_that_stands_twice_the_first_line_counts(folder: Path) -> None:
    assert read_run(written(folder, b"q Q0 a 1 1 t\nq Q0 b 2 2 t\nq Q0 a 3 3 t")) == {"q": ["b", "a"]}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"q Q0 p", "'q Q0 p'"),
        (b"q Q0 p 1 high t", "'q Q0 p 1 high t'"),
        (b"q Q0 p 1 nan t", "'q Q0 p 1 nan t'"),
        (b"q Q0 an id 1 0.5 t", "'q Q0 an id 1 0.5 t'"),
        (b"q Q0 id 7 1 0.5 t", "'q Q0 id 7 1 0.5 t'"),
        (b"q Q0 id 7 8 1 0.5 t", "'q Q0 id 7 8 1 0.5 t'"),
        (b"\xff Q0 p 1 1 t", "'\ufffd Q0 p 1 1 t'"),
        (b"\x1f\x8b\x08 compressed", "'\\x1f\ufffd\\x08 compressed'"),
    ],
)
def test_a_line_that_is_none(folder: Path, line: bytes, shown: str) -> None:
    path = written(folder, b"q Q0 p 1 1 t\n" + line)
    with pytest.raises(InputError) as raised:
        read_run(path)
    message = str(raised.value)
    assert message.startswith(f"{path}:2: a TREC run's line has six fields")
    assert message.endswith(f"this one is {shown}.")
    assert raised.value.fields == {"path": path, "line": 2}


def test_runs_that_hold_nothing_or_are_cut_off(folder: Path) -> None:
    with pytest.raises(InputError, match="is an empty run"):
        read_run(written(folder, b"\xef\xbb\xbf\n \n"))
    data = gzip.compress("".join(f"q{n} Q0 p{n * 7919} 1 0.{n} t\n" for n in range(2000)).encode())
    with pytest.raises(InputError, match="was cut off"):
        read_run(written(folder, data[:-20], "cut.run.gz"))
    with pytest.raises(InputError, match="does not exist"):
        read_run(str(folder / "none.run"))


def test_queries_are_put_into_buckets() -> None:
    tables = dict(run_tables({f"q{number}": [f"p{number}"] for number in range(50)}, "run_r", 7))
    assert 1 < len(tables) <= 7
    rows = [row for table in tables.values() for row in table.to_pylist()]
    assert sorted(rows, key=str) == sorted(
        ({"query_id": f"q{number}", "run_r": [f"p{number}"]} for number in range(50)), key=str
    )
