"""What a store of a million embeddings and a million logits costs: look-ups of a refresh, listing, upkeep.

    python -m benchmarks.store --folder /tmp/store [--values 1000000] [--results benchmarks/results/store.json]

The values are made up, of a seed: 384 numbers an embedding, 100 passages a query. They are stored as runs store them,
in files of 1,024 embeddings whose keys lie together, and of 2,000 logits of one block of queries. Each step runs in a
process of its own, whose peak of anonymous memory is sampled every 20 ms.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.transforms.core import storage
from hardneg.transforms.store.shelf import LOGIT_ROW, embedding_shelf, logit_shelf
from hardneg.transforms.store.upkeep import collect_garbage, list_shelves, verify_shelves
from hardneg.transforms.store.uses import StorePlace, begin_use, end_use, use_name
from hardneg.transforms.store.value_keys import embedding_keys, key_ranges, logit_keys

MODEL = {"model": "made up", "fingerprint": "f" * 64, "dimension": 384}
PER_QUERY = 100
BLOCK = 256  # queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--values", type=int, default=1_000_000)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    folder, values = str(options.folder), options.values
    steps: list[tuple[str, Callable[[str, int], Any]]] = [
        ("fill", fill),
        ("list", lambda folder, _: [shelf.values for shelf in list_shelves(_values(folder))]),
        ("find all, as a run of unchanged data does", lambda folder, values: find(folder, values, 0)),
        ("find all with 1 % changed, as a refresh does", lambda folder, values: find(folder, values, values // 100)),
        ("gc, half in use, of small files", gc),
        ("find all with 1 % changed, after gc", lambda folder, values: find(folder, values // 2, values // 200)),
        ("gc again", gc),
        ("verify", lambda folder, _: sum(sound for _, sound in verify_shelves(_values(folder)))),
    ]
    results = []
    for name, step in steps:
        results.append({"step": name, **measured(step, folder, values)})
        print(json.dumps(results[-1]), flush=True)
    if options.results:
        options.results.write_text(json.dumps({"values": values, "steps": results}, indent=1) + "\n", encoding="utf-8")


def measured(step: Callable[[str, int], Any], folder: str, values: int) -> dict[str, Any]:
    """Run a step in a process of its own; return its seconds, its peak of anonymous memory in MB, and what it says."""
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    process = context.Process(target=lambda: told.put(_timed(step, folder, values)))
    process.start()
    peak = 0
    while process.is_alive():
        peak = max(peak, _anonymous(process.pid))
        time.sleep(0.02)
    seconds, found = told.get()
    return {"seconds": round(seconds, 2), "anonymous_mb": peak // 1024, "found": found}


def _timed(step: Callable[[str, int], Any], folder: str, values: int) -> tuple[float, Any]:
    start = time.perf_counter()
    found = step(folder, values)
    return time.perf_counter() - start, found


def _anonymous(process: int | None) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def _values(folder: str) -> str:
    return storage.join(folder, "values")


def _place(folder: str, output: str = "out") -> StorePlace:
    return StorePlace(_values(folder), use_name(storage.join(folder, output)))


def _texts(numbers: range) -> list[str]:
    return [f"passage {number}" for number in numbers]


def _pairs(numbers: range) -> tuple[list[str], list[str]]:
    return [f"query {number // PER_QUERY}" for number in numbers], [f"passage {number % 9973}" for number in numbers]


def fill(folder: str, values: int) -> int:
    """Store everything, and note that a run used the first half."""
    place = _place(folder)
    begin_use(place, storage.join(folder, "out"))
    embeddings, logits = embedding_shelf(place, MODEL), logit_shelf(place, MODEL)
    draw = np.random.default_rng(0)
    keys = embedding_keys("passage", _texts(range(values)))
    for chunk in _chunks(np.argsort(keys), 1024):
        embeddings.add(keys[chunk], draw.standard_normal((len(chunk), 384), dtype=np.float32))
        embeddings.use(keys[chunk[chunk < values // 2]])
    keys = logit_keys(*_pairs(range(values)))
    for _, block in key_ranges(keys, max(1, values // PER_QUERY // BLOCK)):
        for chunk in _chunks(draw.permutation(block), 2_000):
            rows = np.zeros(len(chunk), dtype=LOGIT_ROW)
            rows["logit"] = draw.standard_normal(len(chunk))
            logits.add(keys[chunk], rows)
            logits.use(keys[chunk[chunk < values // 2]])
    end_use(place)
    storage.write_file(storage.join(folder, "out", "manifest.json"), lambda sink: sink.write(b"{}"))
    return values


def _chunks(order: np.ndarray, size: int) -> list[np.ndarray]:
    return np.split(order, range(size, len(order), size))


def find(folder: str, values: int, changed: int) -> list[int]:
    """Look everything up as a run does: embeddings by key range, logits by blocks of queries; return what is found."""
    place = StorePlace(_values(folder))
    keys = embedding_keys("passage", _texts(range(changed, values + changed)))
    embeddings = sum(
        int(embedding_shelf(place, MODEL).find(keys[rows]).known.sum())
        for _, rows in key_ranges(keys, max(1, values // 100_000))
    )
    pairs = logit_keys(*_pairs(range(changed, values + changed)))
    logits = sum(
        int(logit_shelf(place, MODEL).find(pairs[rows]).known.sum())
        for _, rows in key_ranges(pairs, max(1, values // PER_QUERY // BLOCK))
    )
    return [embeddings, logits]


def gc(folder: str, _: int) -> list[list[int]]:
    return [[dropped.before, dropped.after] for dropped in collect_garbage(_values(folder))]


if __name__ == "__main__":
    main()
