"""What was screened for the sample is not screened again, and nothing differs for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from hand_made import LOGIT, SOURCES, Case, filters

from hardneg.transforms.core.block import Block, TextsOf, table_from_bytes, table_to_bytes
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.judge.calibrated_judge import Target
from hardneg.transforms.mining.rows import mine_block
from hardneg.transforms.mining.sampling import sample_block
from hardneg.transforms.output.layout import TRIPLETS

RULES = Rules(tuple(SOURCES), filters(Policy(2, "similarity"), near_duplicates=0.8, max_sigmoid=0.9))
LONG = "the quick brown fox jumps over the lazy dog while seven wise owls watch from an old oak tree"


def case() -> Case:
    names = [f"n{number}" for number in range(6)]
    texts = {"own": LONG, "near": f"{LONG} today", **{name: f"text {name}" for name in names}}
    queries = {
        f"q{number}": {"grades": {"own": 1}, "retrieved": ["near", *names[number:], "own"]} for number in range(4)
    }
    return Case(queries, texts, {text: float(place - 4) for place, text in enumerate(texts.values())})


def counting(texts_of: TextsOf, asked: list[int]) -> TextsOf:
    def counted(segments: np.ndarray, rows: np.ndarray) -> list[str]:
        asked.append(len(rows))
        return texts_of(segments, rows)

    return counted


def travelled(block: Block) -> Block:
    return Block(*(table_from_bytes(table_to_bytes(each)) for each in (block.queries, block.candidates, block.texts)))


def test_the_sample_is_screened_once_and_the_rest_when_it_is_mined() -> None:
    made = case()
    block = made.block(list(made.queries))
    plain = mine_block(block, RULES, LOGIT, made.texts_of(), made.score)
    for sampled in ([True, False, True, False], [True] * 4, [False] * 4):
        some = np.array(sampled)
        done = sample_block(block, RULES, Target("cross-encoder", 0.1), some, made.texts_of(), made.score)
        asked: list[int] = []
        again = mine_block(travelled(done.block), RULES, LOGIT, counting(made.texts_of(), asked), made.score, some)
        # What a row's batch has to avoid is known of what was scored, and the sample is scored further.
        assert again.triplets.select(TRIPLETS.names).equals(plain.triplets.select(TRIPLETS.names))
        chosen = [name for name in plain.candidates.column_names if name not in ("logit", "judge_score")]
        assert _decided(again.candidates, chosen) == _decided(plain.candidates, chosen)
        assert set(done.queries["query_id"].to_pylist()) == {f"q{n}" for n, each in enumerate(sampled) if each}
        assert set(done.rows["query_id"].to_pylist()) == {f"q{n}" for n, each in enumerate(sampled) if each}
        if all(sampled):
            assert sum(asked) == 2 * len(again.triplets) + len(again.suspect_pairs), "texts are for writing alone"


def _decided(candidates: pa.Table, columns: list[str]) -> list[dict]:
    """Return the rows; what the sample scored beside what mining needs may have a verdict that is not ``unscored``."""
    rows = candidates.select(columns).to_pylist()
    return [row if row["verdict"] in ("positive", "dropped") and row["reason"] != "above_max_sigmoid" else
            {**row, "verdict": None, "reason": None} for row in rows]  # fmt: skip


def test_a_column_of_a_run_is_taken_over_as_before() -> None:
    made = case()
    block = made.block(["q0"])
    stored = mine_block(block, RULES, LOGIT, made.texts_of(), made.score).candidates
    columns = stored.select(["verdict", "reason", "grade"])
    candidates = block.candidates
    for name in columns.column_names:
        candidates = candidates.append_column(name, columns[name])
    again = mine_block(replace(block, candidates=candidates), RULES, LOGIT, made.texts_of(), made.score)
    assert again.candidates.equals(stored)
