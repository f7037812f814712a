"""False negatives, yield and hardness of hardneg beside those of sentence-transformers' mine_hard_negatives.

    python -m benchmarks.false_negatives --data DATA --runs RUNS

DATA holds collections in the BEIR layout with ``qrels/train.tsv`` (what both miners are told) and
``qrels/hidden.tsv`` (relevant passages that neither is told of). RUNS is a folder of this program's own: one scored
run of hardneg per collection (`RUNS/COLLECTION`, made if it is not there; a killed one goes on from its work folder),
the peer's embeddings, the sweeps of settings, `figures.json` and `figures.svg`. Both miners have the same bi-encoder
in the same dtype, the same corpus, the same known positives, and are asked for five negatives a query among their
first hundred. Every figure, of either miner, comes from the same function of its (query, passage) pairs.

With fewer cores than time, run it once in the background; scoring and encoding are kept, sweeps take minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from benchmarks.false_negatives.curves import compare, sentence
from benchmarks.false_negatives.figures import Measure, Pairs, Point, Value, ratio_of_rates
from benchmarks.false_negatives.peer import StoredEncoder, mine, vectors
from benchmarks.false_negatives.plot import plot
from benchmarks.withheld import NAMES, Collection, mining_options, read_collection
from hardneg.pipelines.cli import run as hardneg
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.output.finished_run import FinishedRun

NEGATIVES = 5
MARGINS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
RECOMMENDED = "margin 0.05"  # of the peer, by its documentation
MAX_SCORES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
TARGETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
LEAKS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FEWER_LEAKS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)  # of what is not the default
JUDGES = ("combined", "cross-encoder", "bi-encoder")
ORDERS = ("fused", "judge")
MAX_SIGMOIDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
ABSOLUTE_MARGINS = (0.5, 1.0, 2.0, 3.0, 5.0)
OUR_CURVE = "leak rate, combined judge"


def score(collection: Collection, runs: Path) -> str:
    """Return the folder of the collection's scored run, making it if it is not there."""
    output = runs / collection.name
    options = mining_options(collection, runs / f"{collection.name}.input")
    if not output.exists():
        code = hardneg(["mine", *options, "--score", "all", "--output", str(output), "--", "--direct_num_workers=1"])
        if code:
            raise SystemExit(f"scoring {collection.name} ended with code {code}; the same command goes on from there")
    _check_run(collection, str(output))
    return str(output)


def _check_run(collection: Collection, run: str) -> None:
    finished = FinishedRun.open(run)
    found = {query for table in finished.tables("queries") for query in table["query_id"].to_pylist()}
    if found != set(collection.queries):
        raise SystemExit(f"{run} is a run of other queries than those that {collection.name} is tried on: move it away")
    options = finished.options
    if options.get("score") != "all":
        raise SystemExit(f"{run} was not scored with --score all: move it away")


def our_settings() -> Iterator[tuple[str, str, list[str]]]:
    """Yield (curve, setting, options of ``hardneg mine --from``)."""
    yield "default", "default", []
    for target in TARGETS:
        yield "target", f"target {target:g}", ["--target-false-negative-rate", str(target)]
    for judge in JUDGES:
        for alpha in LEAKS if judge == "combined" else FEWER_LEAKS:
            options = ["--target-leak-rate", str(alpha), "--judge", judge]
            yield f"leak rate, {judge} judge", f"leak rate {alpha:g}", options
    for order in ORDERS:
        for alpha in FEWER_LEAKS:
            options = ["--target-leak-rate", str(alpha), "--order", order]
            yield f"leak rate, {order} order", f"leak rate {alpha:g}", options
    for name, values in (
        ("max-sigmoid", MAX_SIGMOIDS),
        ("relative-margin", MARGINS),
        ("absolute-margin", ABSOLUTE_MARGINS),
    ):
        for value in values:
            yield name, f"{name} {value:g}", [f"--{name}", str(value)]


def mine_ours(run: str, options: list[str], output: Path, keep: bool) -> tuple[Pairs | None, dict[str, Any]]:
    """Mine again from a scored run; return the mined pairs, or None, and what was said of the setting."""
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    words = io.StringIO()
    with contextlib.redirect_stderr(words), contextlib.redirect_stdout(words):
        code = hardneg(["mine", "--from", run, *options, "--output", str(output)])
    if code:
        return None, {"refused": words.getvalue().strip(), "code": code}
    found = selected(str(output)), dict(FinishedRun.open(str(output)).manifest.get("denoising") or {})
    if not keep:
        shutil.rmtree(output)
    return found


def selected(run: str) -> Pairs:
    """Return the mined pairs of a run."""
    pairs: list[tuple[str, str]] = []
    for table in FinishedRun.open(run).tables("candidates", ["query_id", "passage_id", "selected"]):
        mined = table.filter(pc.is_valid(table["selected"]))
        pairs += zip(mined["query_id"].to_pylist(), mined["passage_id"].to_pylist(), strict=True)
    return pairs


def our_points(measure: Measure, run: str, sweeps: Path, keep: bool) -> Iterator[Point]:
    for curve, setting, options in our_settings():
        folder = sweeps / f"{curve} {setting}".replace(",", "").replace(" ", "_")
        pairs, said = mine_ours(run, options, folder, keep)
        if pairs is None:
            print(f"  {curve}, {setting}: {said['refused'].splitlines()[-1] if said['refused'] else said}")
        else:
            yield measure.point("hardneg", curve, setting, pairs, said)


def peer_points(measure: Measure, collection: Collection, encoder: StoredEncoder) -> Iterator[Point]:
    settings: list[tuple[str, str, dict[str, float]]] = [("top k", "no margin", {})]
    settings += [("relative margin", f"margin {each:g}", {"relative_margin": each}) for each in MARGINS]
    settings += [("max score", f"max score {each:g}", {"max_score": each}) for each in MAX_SCORES]
    for curve, setting, options in settings:
        pairs = mine(encoder, collection, num_negatives=NEGATIVES, **options)
        yield measure.point("peer", curve, setting, pairs)


def points_of(collection: Collection, encoder: StoredEncoder, runs: Path, parts: set[str], keep: bool) -> list[Point]:
    """Return every point of a collection: the peer's, ours, the perfect judge's."""
    measure = Measure(collection, *vectors(encoder, collection), NEGATIVES)
    points = list(peer_points(measure, collection, encoder)) if "peer" in parts else []
    if "hardneg" in parts:
        run = score(collection, runs)
        _check_dtype(run, encoder)
        points += our_points(measure, run, runs / "sweeps" / collection.name, keep)
    return points + measure.perfect_judge()


def _check_dtype(run: str, encoder: StoredEncoder) -> None:
    """Refuse to compare models that were run in different precisions."""
    models = json.dumps(FinishedRun.open(run).models)
    dtype = encoder.description["dtype"]
    if f'"dtype": "{dtype}"' not in models:
        raise SystemExit(f"{run} was not scored in {dtype}, as the peer is run here: move it away or give --dtype")


def table(name: str, points: list[Point]) -> list[str]:
    """Return the two miners side by side, in lines."""
    head = f"{'':44}{'false negatives':>24}{'judged queries':>16}{'yield':>9}{'hardness':>10}"
    lines = [f"{name}: {_described(points)}", head]
    for point in points:
        if point.curve in ("default", "target", "top k", "relative margin", OUR_CURVE) or point.setting == "any":
            lines.append(
                f"{point.miner + ', ' + point.setting:44}{_percent(point.rate):>24}"
                f"{_plain(point.judged_rate):>16}{_plain(point.yielded):>9}{point.hardness.value or 0:>10.3f}"
                f"  {point.said.get('status', '')}"
            )
    return lines


def _described(points: list[Point]) -> str:
    queries = len(points[0].sums) if points and points[0].sums is not None else 0
    return f"{queries} queries, {NEGATIVES} negatives asked of each; 95 % intervals by bootstrap over queries"


def verdict(name: str, points: list[Point]) -> list[str]:
    """Return whether our default has at most half of the peer's false negatives, and how the curves lie."""
    peer = [point for point in points if point.curve == "relative margin"]
    ours = [point for point in points if point.miner == "hardneg"]
    recommended = next((point for point in peer if point.setting == RECOMMENDED), None)
    lines = []
    default = next((point for point in ours if point.curve == "default"), None)
    if recommended and default:
        ratio = ratio_of_rates(default, recommended)
        is_half = (default.rate.value or 0) <= (recommended.rate.value or 0) / 2
        is_met = is_half and (default.yielded.value or 0) >= (recommended.yielded.value or 0)
        lines.append(
            f"{name}: hardneg's default / the peer's {RECOMMENDED}: {_times(ratio)} of its false negatives; "
            f"half or less at no lower yield: {'yes' if is_met else 'no'}"
        )
    for curve in dict.fromkeys(point.curve for point in ours if point.curve != "default"):
        found = compare([point for point in ours if point.curve == curve], peer)
        lines.append(sentence(f"{name}, {curve}", found))
    return lines


def _percent(value: Value) -> str:
    if value.value is None or value.low is None or value.high is None:
        return "none"
    return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"


def _plain(value: Value) -> str:
    return "none" if value.value is None else f"{value.value:.1%}"


def _times(value: Value) -> str:
    return "no ratio" if value.value is None else f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the collections")
    parser.add_argument("--runs", type=Path, required=True, help="a folder for runs, embeddings and results")
    parser.add_argument("--collections", nargs="+", default=list(NAMES))
    parser.add_argument("--only", choices=("peer", "hardneg"), help="leave the other miner out")
    parser.add_argument("--keep-sweeps", action="store_true", help="keep what is mined at each setting")
    parser.add_argument("--dtype", default="auto", help="of the peer's model; hardneg's runs must have the same")
    options = parser.parse_args(argv)
    encoder = StoredEncoder(ModelSpec("bi-encoder", "bundled", dtype=options.dtype), options.runs / "peer")
    parts = {options.only} if options.only else {"peer", "hardneg"}
    everything: dict[str, list[Point]] = {}
    summary: list[str] = []
    for name in options.collections:
        collection = read_collection(options.data / name)
        points = points_of(collection, encoder, options.runs, parts, options.keep_sweeps)
        everything[name] = points
        print("\n".join(table(name, points)), end="\n\n", flush=True)
        summary += verdict(name, points)
    print("\n".join(summary))
    _write(options.runs / "figures.json", everything, summary, encoder)
    plot(options.runs / "figures.svg", everything, OUR_CURVE)


def _write(path: Path, everything: dict[str, list[Point]], summary: list[str], encoder: StoredEncoder) -> None:
    names = ("sentence-transformers", "torch", "transformers", "hardneg")
    data = {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "bi_encoder": encoder.description,
        "summary": summary,
        "collections": {name: [point.to_json() for point in points] for name, points in everything.items()},
    }
    path.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
