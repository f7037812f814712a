"""TREC run files of other systems."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.errors import HardnegError
from hardneg.transforms.inputs.trec_runs import _read, parse_run


def test_a_run() -> None:
    data = (
        b"q2 Q0 p1 1 0.5 tag\n"
        b"q1 Q0 p3 9 -1.5 tag\n"  # its rank says otherwise; the score counts
        b"q1\tQ0\tp1\t2\t2e1\ttag\r\n"
        b"\n"
        b"q1 Q0 p2 1 2e1 tag\n"
        b"  q1 Q0 p0 4 -inf tag with spaces\n" + "q文 Q0 p文 1 1 t".encode()
    )
    assert parse_run("run.txt", data) == {"q2": ["p1"], "q1": ["p1", "p2", "p3", "p0"], "q文": ["p文"]}
    assert parse_run("run.txt", b"") == {}


@settings(deadline=None)
@given(st.permutations([(f"p{number}", score) for number, score in enumerate([3.0, 1.0, 1.0, 2.0, 1.0])]))
def test_the_order_of_the_lines_does_not_count(rows: list[tuple[str, float]]) -> None:
    data = "\n".join(f"q Q0 {passage} 0 {score} t" for passage, score in rows).encode()
    assert parse_run("run", data) == {"q": ["p0", "p3", "p1", "p2", "p4"]}


def test_of_a_passage_that_stands_twice_the_first_line_counts() -> None:
    assert parse_run("run", b"q Q0 a 1 1 t\nq Q0 b 2 2 t\nq Q0 a 3 3 t") == {"q": ["b", "a"]}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"q Q0 p", "'q Q0 p'"),
        (b"q Q0 p 1 high t", "'q Q0 p 1 high t'"),
        (b"q Q0 p 1 nan t", "'q Q0 p 1 nan t'"),
        (b"\xff Q0 p 1 1 t", "'\ufffd Q0 p 1 1 t'"),
        (b"\x1f\x8b\x08 compressed", "'\\x1f\ufffd\\x08 compressed'"),
    ],
)
def test_a_line_that_is_none(line: bytes, shown: str) -> None:
    with pytest.raises(HardnegError) as raised:
        parse_run("my.run", b"q Q0 p 1 1 t\n" + line)
    message = str(raised.value)
    assert message.startswith("my.run:2: a TREC run's line has six fields")
    assert message.endswith(f"this one is {shown}.")


def test_queries_are_put_into_buckets(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text("".join(f"q{number} Q0 p{number} 1 1 t\n" for number in range(50)))
    tables = dict(_read(str(path), "run_r", 7))
    assert 1 < len(tables) <= 7
    rows = [row for table in tables.values() for row in table.to_pylist()]
    assert sorted(rows, key=str) == sorted(
        ({"query_id": f"q{number}", "run_r": [f"p{number}"]} for number in range(50)), key=str
    )
    path.write_text("")
    assert list(_read(str(path), "run_r", 7)) == []
