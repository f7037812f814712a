"""The demo: a data set out of documentation strings, and what is shown of the output."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from hardneg.transforms.core.text import normalise

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    """Import a program of examples/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up, and demo imports demo_data
    spec.loader.exec_module(module)
    return module


demo_data = load("demo_data")
demo = load("demo")


def read_jsonl(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    demo_data.build(folder)
    return folder


@pytest.mark.slow
def test_two_builds_are_byte_equal(data: Path, tmp_path: Path) -> None:
    # A process of its own, with another hash seed and other object addresses.
    again = tmp_path / "again"
    subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / "demo_data.py"), str(again)],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
    )
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv"):
        assert (data / name).read_bytes() == (again / name).read_bytes(), name


def test_counts_and_ids(data: Path) -> None:
    corpus, queries = read_jsonl(data / "corpus.jsonl"), read_jsonl(data / "queries.jsonl")
    assert 600 <= len(corpus) <= demo_data.PASSAGES
    assert 120 <= len(queries) <= demo_data.QUERIES
    passages, asked = {row["_id"] for row in corpus}, {row["_id"] for row in queries}
    assert len(passages) == len(corpus)
    assert len(asked) == len(queries)
    assert passages >= {"numpy.sort", "numpy.argsort"}
    assert asked >= {"what-is-numpy.sort", "what-is-numpy.argsort"}

    header, *lines = (data / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "query-id\tcorpus-id\tscore"
    judged = [line.split("\t") for line in lines]
    assert {query for query, _, _ in judged} == asked
    assert {passage for _, passage, _ in judged} <= passages
    assert {score for _, _, score in judged} == {"1"}


def test_texts(data: Path) -> None:
    corpus, queries = read_jsonl(data / "corpus.jsonl"), read_jsonl(data / "queries.jsonl")
    for row in corpus:
        words = len(row["text"].split())
        assert demo_data.PASSAGE_WORDS[0] <= words <= demo_data.PASSAGE_WORDS[1], row
        assert len(row["text"]) <= demo_data.PASSAGE_CHARACTERS, row
        assert row["title"], row
    assert len({normalise(row["text"]) for row in corpus}) == len(corpus)
    assert len({normalise(row["text"]) for row in queries}) == len(queries)
    passage_of = {row["_id"]: row for row in corpus}
    for row in queries:
        passage = passage_of[row["_id"].removeprefix("what-is-")]
        assert normalise(row["text"]).rstrip(".") not in normalise(passage["text"]), row


def test_aliases_are_in_once() -> None:
    names = {entry.name for entry in demo_data.entries(("numpy",))}
    assert names >= {"numpy.concatenate", "numpy.vstack"}
    assert not names & {"numpy.concat", "numpy.row_stack"}
    assert demo_data.entries(("no_such_library",)) == []


def test_prose_of_a_documentation_string() -> None:
    doc = """
    sort(a, axis=-1)

    Put things in order. Fast, too; see :func:`~numpy.argsort` [1]_.

    The order is that of ``a``, e.g. of *numbers*. It follows from::

        code

    where the code is not shown. This is.

    .. versionadded:: 1.0

    Parameters
    ----------
    a : array_like
        What to sort. More about it.
    out : ndarray
        Boilerplate.

    Returns
    -------
    sorted_array : ndarray
        A sorted copy.
    """
    assert demo_data.first_sentence_and_rest(doc) == (
        "Put things in order.",
        "Fast, too; see numpy.argsort. The order is that of a, e.g. of numbers. This is. a: What to sort. "
        "Returns sorted_array: A sorted copy.",
    )


@pytest.mark.parametrize(
    "doc",
    [
        "",
        "Only one sentence.",
        "Deprecated: use something else. It is better.",
        "Sort.\n\n.. deprecated:: 2.0\n    Use other.\n\nMore prose.",
    ],
)
def test_no_entry_for_what_is_deprecated_or_has_no_rest(doc: str) -> None:
    assert demo_data.first_sentence_and_rest(doc) is None


def write_output(folder: Path) -> None:
    """Write a tiny output folder of the documented form: one query, of which one row each was decided."""
    texts = {"p": "numpy.sort It sorts.", "n": "numpy.argsort It does not.", "s": "numpy.msort It may."}
    tables = {
        "triplets": {"anchor": ["sorted?"], "positive": [texts["p"]], "negative": [texts["n"]]},
        "queries": {"query_id": ["q"], "text": ["sorted?"]},
        "passages": {"passage_id": list(texts), "text": list(texts.values())},
        "candidates": {
            "query_id": ["q", "q", "q"],
            "passage_id": ["p", "n", "s"],
            "similarity_dense": pa.array([0.9, 0.5, 0.8], pa.float32()),
            "logit": pa.array([3.0, -3.0, None], pa.float32()),
            "verdict": ["positive", "negative", "suspected_positive"],
            "selected": pa.array([None, 1, None], pa.int32()),
        },
    }
    for name, columns in tables.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / name / "part-00000-of-00001.parquet")
    manifest = {"counts": {"queries": 1500, "dropped": {"duplicate": 2}}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize("width", [80, 140])
def test_show(tmp_path: Path, width: int) -> None:
    write_output(tmp_path)
    console = Console(file=io.StringIO(), width=width)
    demo.show(tmp_path, console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    lines = [line.split() for line in shown.splitlines()]
    assert ["query", "sorted?"] in lines
    assert ["positive", "numpy.sort", "It", "sorts.", "3.00", "0.953", "0.900"] in lines
    assert ["negative", "numpy.argsort", "It", "does", "not.", "-3.00", "0.047", "0.500"] in lines
    assert ["set", "aside", "numpy.msort", "It", "may.", "0.800"] in lines
    assert ["queries", "1,500"] in lines
    assert ["duplicate", "2"] in lines
    assert "candidates" in shown
