"""What mined negatives are worth: a bi-encoder is fine-tuned on each kind of them and evaluated on other articles.

    python -m benchmarks.training_value.articles --data DATA --work WORK [--only NAME ...] [--table]

The bundled bi-encoder is trained for one epoch on 2,000 queries of squad11 train, with one negative each, and
retrieves for all questions of squad11 test (of other articles) from the whole corpus. On cmrc2018, three kinds are
tried with bundled-multilingual and 1,000 queries. Each finished (kind, seed) is a line in --results, with the rank of
the relevant passage of every test question, and is not done again, nor is one whose training set, loss and sampler are
those of another; mined sets lie in --sets, as ids. A GPU is used if there is one. It all takes about seven hours on
2 cores; --table only prints what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.training_value.articles.arms import Arm, Kind, make_arm
from benchmarks.training_value.articles.fit import Budget, evaluate, fine_tune, load
from benchmarks.training_value.articles.sets import MinedSets
from benchmarks.training_value.articles.table import table
from benchmarks.withheld import read_qrels

RESULTS = Path(__file__).parents[2] / "results"


@dataclass(frozen=True)
class Setting:
    """What is trained on what; lines of one setting are compared with each other.

    Attributes:
        scale: what cosines are multiplied by in the loss: one over the temperature that the bi-encoder was trained at.
    """

    collection: str
    split: str
    queries: int
    bi_encoder: str
    batch_size: int = 64
    max_length: int = 160
    epochs: int = 1
    learning_rate: float = 2e-5
    scale: float = 20.0

    @property
    def budget(self) -> Budget:
        return Budget(self.batch_size, self.max_length, self.epochs, self.learning_rate, self.scale)


THREE_SEEDS = (Kind.IN_BATCH, Kind.DENSE, Kind.PEER_RERANKED, Kind.HARDNEG)
CHINESE = (Kind.UNTRAINED, Kind.IN_BATCH, Kind.DENSE, Kind.HARDNEG)


def settings(queries: int, epochs: int, batch_size: int) -> list[Setting]:
    more = {"epochs": epochs, "batch_size": batch_size}
    return [
        Setting("squad11", "test", queries, "bundled", **more),
        Setting("cmrc2018", "test", queries // 2, "bundled-multilingual", scale=100.0, **more),
    ]


def schedule(setting: Setting) -> Iterator[tuple[Kind, int]]:
    """Yield (kind, seed) in the order that is most telling if it is stopped early."""
    kinds = list(Kind) if setting.collection == "squad11" else list(CHINESE)
    yield from ((kind, 0) for kind in kinds)
    if setting.collection == "squad11":
        yield from ((kind, seed) for seed in (1, 2) for kind in THREE_SEEDS)


def run(setting: Setting, mined: MinedSets, arm: Arm, seed: int) -> dict[str, Any]:
    """Train and evaluate once; return the line."""
    relevant = read_qrels(mined.folder / "qrels" / f"{setting.split}.tsv")
    start = time.perf_counter()
    model = load(setting.bi_encoder)
    if arm.rows is not None:
        fine_tune(model, arm, setting.budget, seed, setting.bi_encoder)
    trained = time.perf_counter() - start
    queries = {query: mined.texts[query] for query in sorted(relevant)}
    figures, ranks = evaluate(model, mined.corpus, queries, {query: set(ids) for query, ids in relevant.items()})
    return {
        **asdict(setting),
        "kind": arm.kind.value,
        "seed": seed,
        "rows": 0 if arm.rows is None else len(arm.rows),
        **{name: round(value, 4) for name, value in figures.items()},
        "ranks": ranks,
        "training_seconds": round(trained),
        "on": {
            "device": model.device.type,
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            **{name: version(name) for name in ("torch", "sentence-transformers", "transformers", "hardneg-models")},
        },
    }


def same_training(lines: list[dict[str, Any]], mined: MinedSets, arm: Arm, seed: int) -> dict[str, Any] | None:
    """Return the line of a training that has been done for another kind: of equal rows, which give equal figures."""
    for line in lines:
        if line["seed"] == seed and arm.trains_as(make_arm(Kind(line["kind"]), mined, seed)):
            print(f"  its training set is that of {line['kind']}, row for row", flush=True)
            return {**line, "kind": arm.kind.value, "trained_as": line["kind"]}
    return None


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def matching(lines: list[dict[str, Any]], setting: Setting) -> list[dict[str, Any]]:
    return [line for line in lines if all(line[name] == value for name, value in asdict(setting).items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the collections")
    parser.add_argument("--work", type=Path, help="where hardneg's runs are kept, to go on with")
    parser.add_argument("--sets", type=Path, default=RESULTS / "training_sets", help="mined sets; default: %(default)s")
    parser.add_argument("--results", type=Path, default=RESULTS / "training_value.jsonl", help="default: %(default)s")
    parser.add_argument("--queries", type=int, default=2000, help="train queries; half of it for cmrc2018")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--collection", choices=["squad11", "cmrc2018"], help="only this one")
    parser.add_argument("--only", action="append", type=Kind, default=[], help=", ".join(Kind))
    parser.add_argument("--table", action="store_true", help="train nothing; print what is there")
    args = parser.parse_args()
    if not args.table and not (args.data and args.work):
        parser.error("--data and --work must be given, unless --table is")
    for setting in settings(args.queries, args.epochs, args.batch_size):
        if args.collection not in (None, setting.collection):
            continue
        if not args.table:
            sets = MinedSets(args.data / setting.collection, setting.queries, setting.bi_encoder, args.sets, args.work)
            work_through(setting, sets, args.results, args.only)
        if done := matching(read_lines(args.results), setting):
            print(table(done), flush=True)


def work_through(setting: Setting, mined: MinedSets, results: Path, only: list[Kind]) -> None:
    done = {(line["kind"], line["seed"]) for line in matching(read_lines(results), setting)}
    due = [
        (kind, seed)
        for kind, seed in schedule(setting)
        if (not only or kind in only) and (kind.value, seed) not in done
    ]
    for kind, seed in due:
        print(f"{setting.collection}: {kind.value}, seed {seed}", flush=True)
        arm = make_arm(kind, mined, seed)
        line = same_training(matching(read_lines(results), setting), mined, arm, seed) or run(setting, mined, arm, seed)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print("  " + ", ".join(f"{name} {line[name]:.4f}" for name in ("ndcg@10", "mrr@10", "recall@10")), flush=True)


if __name__ == "__main__":
    main()
