"""An audit says what it compared a set with, and refuses to call a set clean that it compared with nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from audit_cases import counts, look, write_jsonl
from finished_run import candidate, write_run

from hardneg.errors import HardnegError, InputError, OptionError
from hardneg.pipelines.cli import run as command

QUERIES = [{"_id": f"q{n}", "text": f"why do tides happen, {n}?"} for n in range(3)]
CORPUS = [{"_id": f"d{n}", "title": f"Tides {n}", "text": f"The moon pulls at sea {n}."} for n in range(4)]
WHOLE = [f"{row['title']} {row['text']}" for row in CORPUS]
BARE = [row["text"] for row in CORPUS]

# Each form of a set whose one negative is d1, which qrels know as a positive of q0.
FORMS: dict[str, dict[str, Any]] = {
    "triplet": {"anchor": QUERIES[0]["text"], "positive": WHOLE[0], "negative": WHOLE[1]},
    "without titles": {"anchor": QUERIES[0]["text"], "positive": BARE[0], "negative": BARE[1]},
    "n-tuple": {"anchor": QUERIES[0]["text"], "positive": BARE[0], "negative_1": WHOLE[2], "negative_2": BARE[1]},
    "list": {"query": QUERIES[0]["text"], "pos": [WHOLE[0]], "neg": [WHOLE[3], WHOLE[1]]},
    "objects": {
        "query": QUERIES[0]["text"],
        "positive_passages": [{"docid": "x0", "title": "Tides 0", "text": BARE[0]}],
        "negative_passages": [{"docid": "x1", "title": "Tides 1", "text": BARE[1]}],
    },
}
# The same without a text that the collection has: only its ids tell.
WITH_IDS = {
    "query_id": "q0",
    "query": "another wording",
    "positive_passages": [{"docid": "d0", "text": "zero"}],
    "negative_passages": [{"docid": "d1", "text": "one"}],
}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, list[str]]:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td1\t1\nq1\td2\t1\n", encoding="utf-8")
    return {
        "qrels": [str(qrels)],
        "queries": [str(write_jsonl(tmp_path / "queries.jsonl", QUERIES))],
        "corpus": [str(write_jsonl(tmp_path / "corpus.jsonl", CORPUS))],
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_known_positive_is_found_in_every_form(form: str, tmp_path: Path, given: dict[str, list[str]]) -> None:
    data = write_jsonl(tmp_path / "set.jsonl", [FORMS[form]])
    assert counts(data, **given) == {"positives_among_negatives": 1}
    assert look(data, **given).notes == ["2 of 3 known pairs are of queries of this set, and were compared with it."]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("left", [(), ("queries",), ("corpus",)])
def test_ids_alone_tell_nothing_of_a_set_without_ids(
    form: str, left: tuple[str, ...], tmp_path: Path, given: dict[str, list[str]]
) -> None:
    data = write_jsonl(tmp_path / "set.jsonl", [FORMS[form]])
    lacking = [name for name in ("queries", "corpus") if name not in left]
    with pytest.raises(OptionError, match=f"nothing was compared: give {' and '.join(lacking)}, whose texts can be"):
        look(data, **{name: given[name] for name in ("qrels", *left)})


def test_ids_alone_tell_of_a_set_with_ids(tmp_path: Path, given: dict[str, list[str]]) -> None:
    data = write_jsonl(tmp_path / "set.jsonl", [WITH_IDS])
    assert counts(data, qrels=given["qrels"]) == {"positives_among_negatives": 1}
    other = write_jsonl(tmp_path / "other.jsonl", [{**WITH_IDS, "query_id": "q9"}])
    with pytest.raises(InputError, match="0 of 3 known pairs have their query and passage in the set"):
        look(other, qrels=given["qrels"])


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("1 0 7 1\n2 0 8 1\n", "0 of 2 known pairs have their query and passage in queries and corpus"),
        ("q0 0 d0 0\nq1 0 d1 0\n", "no judgement of grade 1 or more"),
        ("q1 0 d1 1\nq2 0 d1 1\n", "none of its 2 known pairs is of a query of this set"),
        ("query-id\tcorpus-id\tscore\nq0\td0\t1\nq0 d1 1\n", r"1 of 2 rows can't be used .*qrels.tsv:3\)"),
        ("query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td1\thigh\n", r"1 of 2 rows can't be used .*qrels.tsv:3\)"),
    ],
)
def test_nothing_compared_is_an_error(
    qrels: str, message: str, tmp_path: Path, given: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "qrels.tsv").write_text(qrels, encoding="utf-8")
    data = write_jsonl(tmp_path / "set.jsonl", [FORMS["triplet"]])
    with pytest.raises(HardnegError, match=message):
        look(data, **given)
    options = [part for name, paths in given.items() for part in (f"--{name}", *paths)]
    assert command(["audit", str(data), *options]) == 2
    assert "hardneg: --qrels" in capsys.readouterr().err


def test_a_run_of_ours_brings_its_texts(tmp_path: Path) -> None:
    texts = {row["_id"]: row["text"] for row in QUERIES}
    passages = dict(zip((row["_id"] for row in CORPUS), WHOLE, strict=True))
    rows = [candidate("q0", "d0", "positive", logit=1.0), candidate("q0", "d1", "negative", logit=0.0, selected=1)]
    run = write_run(tmp_path / "run", texts, passages, rows)
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q0 0 elsewhere 1\n", encoding="utf-8")  # a passage that the run has not is in no triplet
    assert look(run, qrels=[str(qrels)]).notes[0].startswith("1 of 1 known pairs")
    qrels.write_text("q0 0 d1 1\n", encoding="utf-8")
    assert counts(run, qrels=[str(qrels)]) == {"positives_among_negatives": 1}
    qrels.write_text("other 0 d1 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="nothing was compared"):
        look(run, qrels=[str(qrels)])
    assert counts(run, holdout=[str(qrels)]) == {"held_out_passages": 1}


def test_an_evaluation_set_of_ids(tmp_path: Path, given: dict[str, list[str]]) -> None:
    data = write_jsonl(tmp_path / "set.jsonl", [FORMS["triplet"]])
    with pytest.raises(InputError, match="holdout gives ids, and the set has none to compare with"):
        look(data, holdout=given["qrels"])
    data = write_jsonl(tmp_path / "ids.jsonl", [WITH_IDS])
    assert counts(data, holdout=given["qrels"]) == {"held_out_queries": 1, "held_out_passages": 2}


def test_what_was_looked_for_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_jsonl(tmp_path / "set.jsonl", [FORMS["triplet"]])
    holdout = tmp_path / "holdout.jsonl"
    holdout.write_text(json.dumps({"query": "who?", "positive": "nobody"}) + "\n", encoding="utf-8")
    assert command(["audit", str(data), "--holdout", str(holdout)]) == 0
    assert "holdout: 1 of 1 queries and 1 of 1 passages are known here, and were looked for." in capsys.readouterr().out


def test_the_few_rows_that_can_t_be_compared_are_said(tmp_path: Path, given: dict[str, list[str]]) -> None:
    data = write_jsonl(tmp_path / "set.jsonl", [FORMS["triplet"]])
    rows = "".join(f"x{number} 0 d0 1\n" for number in range(2000))
    (tmp_path / "qrels.txt").write_text(f"q0 0 d1 1\n{rows}q1 0 d2 high\n", encoding="utf-8")
    holdout = tmp_path / "texts.jsonl"
    lines = [json.dumps({"query": f"who {number}?", "positive": "nobody"}) + "\n" for number in range(2000)]
    holdout.write_text("".join([*lines, '{"query": 7}\n']), encoding="utf-8")
    said = look(data, **{**given, "qrels": [str(tmp_path / "qrels.txt")]}, holdout=[str(holdout)]).notes
    assert [note.partition(":")[0].split(" ")[0] for note in said] == ["qrels", "1", "holdout", "holdout"]
    assert "1 of 2,002 rows can't be used (1 grade is not a number; the first is " in said[0]
    assert "1 of 2,001 rows can't be used (1 wrong type for column query; the first is " in said[2]


def test_held_out_ids_of_another_collection_are_no_all_clear(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    row = {"query_id": "q1", "query": "a", "pos": [{"docid": "p1", "text": "b"}], "neg": [{"docid": "p2", "text": "c"}]}
    data.write_text(json.dumps(row) + "\n", encoding="utf-8")
    qrels = tmp_path / "dl19.txt"
    qrels.write_text("1\t0\tD7\t1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"none is of this set \(0 of 1 queries and 0 of 1 passages\), so nothing was"):
        look(data, holdout=[str(qrels)])
    qrels.write_text("1\t0\tD7\t1\nq1\t0\tD8\t1\n", encoding="utf-8")
    assert counts(data, holdout=[str(qrels)]) == {"held_out_queries": 1}


def test_an_option_that_went_says_what_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["audit", str(tmp_path), "--holdout", "x", "--holdout-split", "dev"]) == 2
    assert "--holdout-split has gone: write --holdout FOLDER:SPLIT instead" in capsys.readouterr().err
