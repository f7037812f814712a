"""How good the bundled models are: re-ranking, retrieval, and telling relevant from not among hard candidates.

    python -m benchmarks.models --data DATA --work WORK [--cross-encoder NAME=MODEL ...]

- Re-ranking: MRR@10 of the first 20 of BM25, re-ordered; 500 questions of squad11 test and of cmrc2018 test, beside
  BM25's own order and each bi-encoder's (of the same 20, and of the whole corpus).
- Retrieval: MRR@10 over the whole corpus; 500 questions of cmrc2018 dev.
- Judging: area under the curve of relevant against not, among the first 50 candidates of up to 100 queries of vaswani
  and hotpotqa_500, by their hidden judgements, which are used for this and nothing else.

Queries are those of the smallest digests. Each finished (collection, model) is a file in WORK, and is not done again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.pipelines.commands import driver
from hardneg.pipelines.options.mine import MineConfig
from hardneg.transforms.models.cross_encoder import CrossEncoder
from hardneg.transforms.models.spec import ModelSpec

RERANKED, CANDIDATES = 20, 50
BI_ENCODERS = {"minilm": "bundled", "e5": "bundled-multilingual"}
MINILM, E5 = BI_ENCODERS
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """A collection's part in the benchmark; ``hidden``: its judgements are those that were withheld."""

    collection: str
    split: str
    queries: int
    hidden: bool = False
    cross_encoders: bool = True

    @property
    def name(self) -> str:
        return f"{self.collection}_{self.split}"


TASKS = (
    Task("squad11", "test", 500),
    Task("cmrc2018", "test", 500),
    Task("cmrc2018", "dev", 500, cross_encoders=False),
    Task("hotpotqa_500", "train", 100, hidden=True),
    Task("vaswani", "train", 100, hidden=True),
)


def candidates_of(task: Task, data: Path, work: Path) -> pa.Table:
    """Return what BM25 and the bi-encoders find, with ranks, similarities and texts, sorted by query and id."""
    run = work / f"{task.name}.run"
    if not run.exists():
        options = {
            "input": str(data / task.collection),
            "split": task.split,
            "max_queries": task.queries,
            "bi_encoder": [f"{name}={model}" for name, model in BI_ENCODERS.items()],
            "judge": "bi-encoder",
            "relative_margin": 0.0,  # no model but the bi-encoders runs
            "allow_unknown_tokens": True,  # MiniLM cannot read Chinese, and the figure says so
            "output": str(run),
        }
        driver.mine(MineConfig.model_validate(options), [])
    names = ("bm25", *BI_ENCODERS)
    columns = ["query_id", "passage_id", "fused_rank", "verdict", "bm25", *(f"rank_{name}" for name in names)]
    table = pq.read_table(run / "candidates", columns=[*columns, *(f"similarity_{name}" for name in BI_ENCODERS)])
    for kind, column in (("queries", "query_id"), ("passages", "passage_id")):
        texts = pq.read_table(run / kind, columns=[column, "text"]).rename_columns([column, kind])
        table = table.join(texts, column)
    return table.sort_by([("query_id", "ascending"), ("passage_id", "ascending")]).combine_chunks()


def asked(table: pa.Table, hidden: bool) -> npt.NDArray[np.bool_]:
    """Return which candidates a cross-encoder is asked about."""
    if hidden:
        return (table["fused_rank"].fill_null(10**9).to_numpy() <= CANDIDATES) & ~positives(table)
    return table["rank_bm25"].fill_null(10**9).to_numpy() <= RERANKED


def positives(table: pa.Table) -> npt.NDArray[np.bool_]:
    return np.array([verdict == "positive" for verdict in table["verdict"].to_pylist()])


def logits_of(model: str, table: pa.Table, path: Path) -> Floats:
    """Return a cross-encoder's logits of a table's pairs, scored once and kept in a file."""
    if not path.exists():
        scorer = CrossEncoder(ModelSpec("cross-encoder", model))
        logits, _ = scorer.score(table["queries"].to_pylist(), table["passages"].to_pylist())
        np.save(path, logits, allow_pickle=False)
    return np.load(path, allow_pickle=False).astype(np.float64)


def reciprocal_ranks(query: npt.NDArray[np.object_], scores: Floats, relevant: npt.NDArray[np.bool_]) -> Floats:
    """Return 1 / rank of the first relevant row of each query, 0 beyond ten; ties by row, which is by passage id."""
    order = np.lexsort([np.arange(len(query)), -scores, query.astype(str)])
    values = []
    for rows in np.split(order, np.flatnonzero(query[order][1:] != query[order][:-1]) + 1):
        hits = np.flatnonzero(relevant[rows][:10])
        values.append(1 / (hits[0] + 1) if len(hits) else 0.0)
    return np.array(values)


def area(scores: Floats, relevant: npt.NDArray[np.bool_]) -> float:
    """Return the area under the curve: how often a relevant pair scores above one that is not; ties count half."""
    from scipy.stats import rankdata

    ranks, n = rankdata(scores), int(relevant.sum())
    return float((ranks[relevant].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def hidden_pairs(folder: Path) -> set[tuple[str, str]]:
    lines = (folder / "qrels" / "hidden.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {(row[0], row[1]) for row in (line.split("\t") for line in lines) if float(row[2]) > 0}


def scorers(task: Task, table: pa.Table, models: dict[str, str], work: Path) -> Iterator[tuple[str, Floats]]:
    """Yield each order or judge and its scores of the rows that are asked about; higher is better."""
    rank = table["rank_bm25"].fill_null(10**9).to_numpy().astype(np.float64)
    yield "bm25", table["bm25"].to_numpy().astype(np.float64) if task.hidden else -rank
    for name in BI_ENCODERS:
        yield name, table[f"similarity_{name}"].to_numpy().astype(np.float64)
    for name, model in models.items() if task.cross_encoders else ():
        yield name, logits_of(model, table, work / f"{task.name}.{name}.npy")


def figures(task: Task, data: Path, models: dict[str, str], work: Path) -> dict[str, float]:
    """Return a task's figures by what they are of."""
    table = candidates_of(task, data, work)
    query = np.array(table["query_id"].to_pylist(), dtype=object)
    total = len(set(query.tolist()))
    found: dict[str, float] = {}
    if not task.hidden:
        for name in ("bm25", *BI_ENCODERS):
            ranks = table[f"rank_{name}"].fill_null(10**9).to_numpy()
            best = 1.0 / ranks[positives(table)]
            found[f"{name}, whole corpus"] = float(best[best >= 0.1].sum() / total)
    rows = asked(table, task.hidden)
    table, query = table.filter(pa.array(rows)), query[rows]
    relevant = positives(table)
    if task.hidden:
        known = hidden_pairs(data / task.collection)
        relevant = np.array([pair in known for pair in zip(query, table["passage_id"].to_pylist(), strict=True)])
    measure: Callable[[Floats], float] = (
        (lambda scores: area(scores, relevant))
        if task.hidden
        else (lambda scores: float(reciprocal_ranks(query, scores, relevant).sum() / total))
    )
    for name, scores in scorers(task, table, models, work):
        found[name] = measure(scores)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the collections")
    parser.add_argument("--work", type=Path, required=True, help="where runs and scores are kept")
    parser.add_argument("--cross-encoder", action="append", default=[], metavar="NAME=MODEL", help="default: bundled")
    parser.add_argument("--only", action="append", default=[], help="a collection, as in squad11_test; default: all")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    models = dict(each.split("=", 1) for each in args.cross_encoder or ["bundled=bundled"])
    for task in TASKS:
        if not args.only or task.name in args.only:
            print(json.dumps({"task": task.name, **figures(task, args.data, models, args.work)}), flush=True)


if __name__ == "__main__":
    main()
