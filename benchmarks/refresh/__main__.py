"""What a refresh costs beside a full run: nothing changed, 1 % changed, the bi-encoder changed.

    python -m benchmarks.refresh --data FOLDER --work WORK [--split train] [--queries 2000] -- OPTIONS OF MINE

The queries of the smallest digests are written to a folder of their own, and refreshed into a new store. Then 1 % of
its passages and 1 % of its queries are changed (a third each: edited, deleted, added), with a seed, and refreshed; then
the bi-encoder's weights are moved by a hundredth of their spread, as a short fine-tuning moves them, and the judge is
calibrated anew; until then it stays.
Each step is a process of its own, `hardneg refresh --json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.cut import Rows, cut_of, read, write
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec

SHARE = 0.01
MOVED = 0.01
COUNTS = (
    *("passages_encoded", "passages_encoded_before", "queries_encoded", "queries_encoded_before"),
    *("logits_computed", "logits_found", "pairs_scored", "mined"),
)


def main() -> None:
    ours, options = sys.argv[1:], []
    if "--" in ours:
        ours, options = ours[: ours.index("--")], ours[ours.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args(ours)
    shutil.rmtree(given.work, ignore_errors=True)
    data, store = given.work / "data", given.work / "store"
    write(data, *cut_of(given.data, given.split, given.queries))
    steps = {"full run": [*options]}
    steps["nothing changed"] = [*options]
    results = [{"step": name, **refresh(store, data, more, place)} for place, (name, more) in enumerate(steps.items())]
    write(data, *changed(*read(data)))
    results.append({"step": "1 % changed", **refresh(store, data, options, 2)})
    # A judge is refused beside another bi-encoder than it was calibrated with.
    student = given.work / "student"
    move(find_model(ModelSpec("bi-encoder", "bundled")), student)
    results.append(
        {
            "step": "another bi-encoder",
            **refresh(store, data, [*options, "--bi-encoder", str(student), "--recalibrate"], 3),
        }
    )
    for result in results:
        print(json.dumps(result))
    if given.results:
        given.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def changed(corpus: Rows, queries: Rows, qrels: list[str]) -> tuple[Rows, Rows, list[str]]:
    """Return a collection with 1 % of its passages and of its queries edited, deleted or added, a third each."""
    draw = np.random.default_rng(0)
    known = {line.split("\t")[1] for line in qrels}
    free = [place for place, row in enumerate(corpus) if row["_id"] not in known]
    number = max(1, round(SHARE * len(corpus) / 3))
    edited = set(draw.choice(len(corpus), number, replace=False).tolist())
    deleted = set(draw.choice([place for place in free if place not in edited], number, replace=False).tolist())
    passages = [
        {**row, "text": f"{row['text']} This was revised."} if place in edited else row
        for place, row in enumerate(corpus)
        if place not in deleted
    ]
    copied = draw.choice(len(corpus), number, replace=False)
    passages += [
        {"_id": f"new-{place}", "title": "", "text": " ".join(reversed(corpus[place]["text"].split(". ")))}
        for place in copied
    ]
    number = max(1, round(SHARE * len(queries) / 3))
    places = draw.choice(len(queries), 3 * number, replace=False)
    words = [row["text"].split() for row in queries]
    edit, delete, double = (set(part.tolist()) for part in np.split(places, 3))
    asked = [
        {**row, "text": f"{row['text']} Please say."} if place in edit else row
        for place, row in enumerate(queries)
        if place not in delete
    ]
    asked += [{"_id": f"new-{place}", "text": " ".join(["Tell me:", *words[place]])} for place in sorted(double)]
    of_query = {line.split("\t")[0]: line for line in qrels}
    lost = {queries[place]["_id"] for place in delete}
    judged = [line for line in qrels if line.split("\t")[0] not in lost]
    judged += [f"new-{place}\t" + of_query[queries[place]["_id"]].split("\t", 1)[1] for place in sorted(double)]
    return passages, asked, judged


def move(model: Path, target: Path) -> None:
    """Copy a model, each weight matrix moved at random by a hundredth of its spread."""
    shutil.copytree(model, target)
    draw = np.random.default_rng(0)
    for path in target.rglob("*.safetensors"):
        tensors = load_file(path)
        for name, tensor in tensors.items():
            if tensor.ndim > 1:
                noise = draw.standard_normal(tensor.shape, dtype=np.float32) * np.float32(MOVED * tensor.std())
                tensors[name] = (tensor + noise).astype(tensor.dtype)
        save_file(tensors, path, metadata={"format": "pt"})


def refresh(store: Path, data: Path, options: list[str], day: int) -> dict[str, Any]:
    """Refresh in a process of its own; return its seconds, what it computed and found, and its exit code."""
    command = [sys.executable, "-m", "hardneg.pipelines.cli", "refresh", "--store", str(store), "--input", str(data)]
    named = ["--date", f"2026-01-{day + 1:02d}", "--gate", "max-drift=off", "--json"]
    start = time.perf_counter()
    done = subprocess.run([*command, *named, *options], stdout=subprocess.PIPE, text=True, check=False)
    seconds = round(time.perf_counter() - start, 1)
    told = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
    path = store / "snapshots" / f"2026-01-{day + 1:02d}" / "manifest.json"
    counts = json.loads(path.read_text(encoding="utf-8"))["counts"] if path.exists() else {}
    return {
        "seconds": seconds,
        "exit": done.returncode,
        "what": told.get("what", told.get("status")),
        **{name: counts[name] for name in COUNTS if name in counts},
    }


if __name__ == "__main__":
    main()
