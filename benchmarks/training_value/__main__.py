"""What mined negatives are worth: bases are trained on each arm's negatives and asked about what they have not seen.

    python -m benchmarks.training_value --collection FOLDER ... --work WORK [--base static ...] [--table]

FOLDER is a collection in the BEIR layout with ``qrels/train.tsv``; ``task.py`` says where its truth and its test are.
It is mined for 300 training queries, five negatives each, by every arm; then each (base, arm, negatives, loss, seed)
is trained with the same anchors, the same positives and as many steps, and asked. Each finished one is a line in
--results, and is not done again. WORK keeps runs, embeddings and logits, so a killed command goes on. --table prints
what is there, and --figure draws it.

The learning rate was chosen by ``--rates``: on training intents of banking77 alone, without hard negatives.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.training_value.bases import BASES, load_base
from benchmarks.training_value.figure import draw
from benchmarks.training_value.negatives import ASKED, Mined, Miners
from benchmarks.training_value.table import table
from benchmarks.training_value.task import TRAIN_QUERIES, Task, Test, read_task
from benchmarks.training_value.training import BATCH, EPOCHS, LOSSES, Row, ask, rate_of, train

RESULTS = Path(__file__).parents[1] / "results" / "training_curve.jsonl"
SEEDS = {"static": 10, "minilm": 3, "minilm-reset": 3}
IN_BATCH_LOSSES = tuple(loss for loss in LOSSES if loss.startswith("mnrl"))


@dataclass(frozen=True)
class Training:
    """One training; what a line is known by."""

    collection: str
    base: str
    arm: str
    negatives: int
    loss: str
    seed: int


def schedule(miners: Miners, base: str, negatives: int, seeds: int) -> Iterator[Training]:
    """Yield what is to be trained, seed by seed, so that what is there can be compared at any time."""
    name = miners.task.name
    yield Training(name, base, "untrained", negatives, "none", 0)
    for seed in range(seeds):
        for loss in LOSSES:
            arms = ["in-batch"] if loss in IN_BATCH_LOSSES else []
            yield from (Training(name, base, arm, negatives, loss, seed) for arm in [*arms, *miners.arms()])


def rows_of(miners: Miners, asked: Training, mined: Mined) -> list[Row]:
    """Return an arm's rows: one a negative, or, for ``group``, one a query. A query without negatives has none."""
    train_on = miners.task.train
    rows: list[Row] = []
    for query, known in miners.positives(asked.arm).items():
        anchor = train_on.queries[query]
        positives = [train_on.passages[each] for each in known]
        texts = [train_on.passages[each] for each in mined[query]]
        if asked.arm == "in-batch":
            rows.append((anchor, positives[0], []))
        elif asked.loss == "group":
            rows += [(anchor, positives[0], texts)] if texts else []
        else:
            rows += [(anchor, positives[place % len(positives)], [text]) for place, text in enumerate(texts)]
    return rows


def run(miners: Miners, asked: Training, work: Path, rate: float | None = None) -> dict[str, Any]:
    """Train and ask once; return the line."""
    start = time.perf_counter()
    nothing: Mined = {query: [] for query in miners.task.train.queries}
    has_negatives = asked.arm not in ("untrained", "in-batch")
    mined = miners.mined(asked.arm, asked.seed) if has_negatives else nothing
    mined = {query: ids[: asked.negatives] for query, ids in mined.items()}
    rows = rows_of(miners, asked, mined) if asked.arm != "untrained" else []
    model = load_base(asked.base, work, miners.task.texts, asked.seed)
    steps = EPOCHS * -(-len(nothing) * asked.negatives // BATCH)
    if rows:
        known = miners.run if asked.loss == "mnrl-no-false-negatives" else None
        train(model, rows, asked.loss, steps, rate or rate_of(asked.base, asked.loss), asked.seed, known)
    scores = ask(model, miners.task.test)
    count = sum(map(len, mined.values()))
    rate_of_false = miners.false_rate(mined)
    return {
        **vars(asked),
        "queries": len(nothing),
        "rows": len(rows),
        "steps": steps if rows else 0,
        "false": None if rate_of_false is None else round(rate_of_false, 4),
        "yield": round(count / (len(nothing) * asked.negatives), 4),
        "hardness": round(miners.hardness(mined), 4) if count else None,
        "ndcg@10": round(scores.ndcg, 5),
        "map": round(scores.map, 5),
        "recall@10": round(scores.recall, 5),
        "groups": [round(each, 4) for each in scores.groups],
        "sizes": [len(group) for group in miners.task.test.groups],
        "seconds": round(time.perf_counter() - start, 1),
    }


def try_rates(miners: Miners, base: str, work: Path) -> None:
    """Print what learning rates give on a quarter of the training intents, trained on the others: no test, no miner."""
    task = miners.task
    assert task.is_relevant is not None
    queries = sorted(task.train.queries)
    held = queries[::4]
    near = {query: frozenset(p for p in task.train.passages if task.is_relevant(query, p)) for query in held}
    kept = [q for q in queries if not any(task.is_relevant(other, task.train.known[q][0]) for other in held)]
    parts: dict[str, Any] = {name: {q: getattr(task.train, name)[q] for q in kept} for name in ("queries", "known")}
    test = Test(task.train.passages, {q: task.train.queries[q] for q in held}, near)
    part = Task(replace(task.train, **parts), test, task.is_relevant)
    for arm, loss in (("untrained", "none"), ("in-batch", "mnrl"), ("random", "triplet"), ("random", "group")):
        for rate in (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2) if arm != "untrained" else (0.0,):
            asked = Training(task.name, base, arm, ASKED, loss, 0)
            line = run(replace(miners, task=part), asked, work, rate)
            print(f"{arm}, {loss}, rate {rate:g}: nDCG@10 {line['ndcg@10']:.4f}, MAP {line['map']:.4f}", flush=True)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, action="append", default=[], help="a folder; may be repeated")
    parser.add_argument("--work", type=Path, help="where everything expensive is kept, to go on with")
    parser.add_argument("--base", choices=BASES, action="append", help="default: static; may be repeated")
    parser.add_argument("--negatives", type=int, action="append", help=f"of a row's query; default: {ASKED} and 1")
    parser.add_argument("--seeds", type=int, help="default: ten of the static base, three of the others")
    parser.add_argument("--queries", type=int, default=TRAIN_QUERIES, help="training queries")
    parser.add_argument("--arm", action="append", help="only this one; may be repeated")
    parser.add_argument("--loss", choices=LOSSES, action="append", help="only this one; may be repeated")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("--rates", action="store_true", help="only try learning rates, on training intents")
    parser.add_argument("--figure", type=Path, help="draw what is there into this SVG")
    parser.add_argument("--table", action="store_true", help="train nothing; print what is there")
    args = parser.parse_args(argv)
    if not args.table and not args.figure and not (args.collection and args.work):
        parser.error("--collection and --work must be given, unless --table or --figure is")
    for folder in args.collection:
        task = read_task(folder, args.queries)
        miners = Miners(task, args.work / folder.name, args.work / "store")
        for base in args.base or ["static"]:
            if args.rates:
                try_rates(miners, base, args.work)
                continue
            for negatives in args.negatives or [ASKED, 1]:
                due = list(schedule(miners, base, negatives, args.seeds or SEEDS[base]))
                due = [each for each in due if each.loss in (args.loss or [each.loss])]
                work_through(miners, [each for each in due if each.arm in (args.arm or [each.arm])], args)
    lines = read_lines(args.results)
    if args.figure:
        draw(lines, args.figure)
    print(table(lines))


def work_through(miners: Miners, due: list[Training], args: argparse.Namespace) -> None:
    names = Training.__dataclass_fields__
    done = {Training(**{name: line[name] for name in names}) for line in read_lines(args.results)}
    for asked in due:
        if asked not in done:
            line = run(miners, asked, args.work)
            with args.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(
                f"{asked.collection}, {asked.base}, {asked.arm}, {asked.negatives}, {asked.loss}, {asked.seed}: "
                f"nDCG@10 {line['ndcg@10']:.4f} in {line['seconds']} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
