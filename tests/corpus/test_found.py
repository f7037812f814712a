"""How much of what a user brings is found in the input."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hardneg.errors import InputError
from hardneg.transforms.core.hashing import id_keys, text_keys
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.text import text_digest
from hardneg.transforms.corpus.found import (
    held_out_note,
    held_out_passages,
    held_out_queries,
    joined,
    joined_run,
    known_passages,
    known_queries,
    run_note,
)
from hardneg.transforms.inputs.evaluation_sets import Holdout


def keys(*names: str, text: bool = False) -> np.ndarray:
    return np.unique((text_keys if text else id_keys)(pa.array(names)))


def test_keys_count_once_however_often_they_stand_in_the_input() -> None:
    holdout = Holdout(keys("q1", "q9"), keys("p1"), keys("a text", text=True), keys("gold", "other", text=True))
    queries = pa.table({"query_id": ["q1", "x"], "text": ["?", "A  Text"]})
    digests = pa.array([text_digest(text) for text in ("GOLD", "gold", "z")], DIGEST)
    passages = pa.table({"passage_id": ["p1", "p2", "p3"], "text_digest": digests})
    found = joined([held_out_queries(queries, holdout), held_out_passages(passages, holdout)])
    again = joined([found, held_out_queries(queries, holdout)])
    expected = "holdout: 2 of 3 queries, 2 of 3 passages are in the input, and are kept out."
    assert held_out_note(found, holdout) == held_out_note(again, holdout) == expected


def test_nothing_found_is_an_error() -> None:
    holdout = Holdout(keys("q1"), keys("p1", "p2"))
    with pytest.raises(InputError, match=r"nothing of it is in the input \(0 of 1 queries, 0 of 2 passages\)"):
        held_out_note(joined([]), holdout)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"queries": 2, "known_queries": 2, "passages": 9, "known_passages": 9}, None),
        ({"queries": 2, "known_queries": 1, "passages": 9, "known_passages": 9}, "run r: 1 of its 2 queries are not"),
        ({"queries": 2, "known_queries": 2, "passages": 9, "known_passages": 1}, "run r: 8 of its 9 passages are not"),
    ],
)
def test_what_is_unknown_of_a_run(counts: dict[str, int], said: str | None) -> None:
    note = run_note("r", counts)
    assert note is None if said is None else str(note).startswith(said)


@pytest.mark.parametrize("kind", ["queries", "passages"])
def test_a_run_of_another_collection_is_an_error(kind: str) -> None:
    counts = {"queries": 2, "known_queries": 2, "passages": 9, "known_passages": 9, f"known_{kind}": 0}
    examples = {f"unknown_{kind}": "D-7", f"input_{kind}": "7"}
    with pytest.raises(InputError, match=f"The run r: none of its . {kind} is in the input: .*'D-7'.* such as '7'"):
        run_note("r", counts | examples)


def test_queries_of_a_run_count_once() -> None:
    run = [pa.table({"query_id": ["a", "b"]}), pa.table({"query_id": ["a", "c"]})]
    found = known_queries(run, [pa.table({"query_id": ["a", "c", "d"]})])
    assert found == {"queries": 3, "known_queries": 2, "unknown_queries": "b", "input_queries": "a"}


def test_passages_of_a_run_are_joined_over_the_segments() -> None:
    one = known_passages(pa.array(["x", "y"]), np.array([True, False]), pa.chunked_array([["x", "z"]]))
    other = known_passages(pa.array(["v"]), np.array([False]), None)
    joined_up = {"passages": 3, "known_passages": 1, "unknown_passages": "v", "input_passages": "x"}
    assert joined_run([one, other]) == joined_run([joined_run([other]), one]) == joined_up
    assert joined_run([]) == {}
    said = run_note("r", {"queries": 1, "known_queries": 1, **joined_up})
    assert said == "run r: 2 of its 3 passages (such as v) are not in the input, and are left out."
