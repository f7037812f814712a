"""The peer in a process of its own: sentence-transformers' miner with a cross-encoder, as its documentation calls it.

    python -m benchmarks.end_to_end.peer FOLDER DTYPE

Prints one JSON line: seconds of each part, pairs scored and triplets. Models are the bundled ones; margin 0.05 of the
positive is its recommended setting, and everything else its default.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.cut import read  # noqa: E402

NEGATIVES = 5
MARGIN = 0.05


def main() -> None:
    folder, dtype = Path(sys.argv[1]), sys.argv[2]
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    from hardneg.transforms.core.text import passage_string
    from hardneg.transforms.models.backends.torch_backend import DTYPES
    from hardneg.transforms.models.files import find_model
    from hardneg.transforms.models.spec import ModelSpec

    corpus, queries, qrels = read(folder)
    passages = {row["_id"]: passage_string(row.get("title") or "", row["text"]) for row in corpus}
    texts = {row["_id"]: row["text"] for row in queries}
    known = [line.split("\t")[:2] for line in qrels if float(line.split("\t")[2]) > 0]
    pairs = {"anchor": [texts[query] for query, _ in known], "positive": [passages[passage] for _, passage in known]}
    how: dict[str, Any] = {"local_files_only": True, "model_kwargs": {"dtype": DTYPES[dtype], "use_safetensors": True}}
    bi_encoder = SentenceTransformer(str(find_model(ModelSpec("bi-encoder", "bundled"))), **how)
    cross_encoder = CrossEncoder(str(find_model(ModelSpec("cross-encoder", "bundled"))), **how)
    told: dict[str, float] = {"encode": 0.0, "score": 0.0, "pairs_scored": 0}
    bi_encoder.encode = _timed(bi_encoder.encode, told, "encode")  # type: ignore[method-assign]
    cross_encoder.predict = _timed(cross_encoder.predict, told, "score")
    mined = mine_hard_negatives(
        Dataset.from_dict(pairs),
        bi_encoder,
        corpus=list(passages.values()),
        cross_encoder=cross_encoder,
        relative_margin=MARGIN,
        num_negatives=NEGATIVES,
        verbose=False,
    )
    print(json.dumps({**told, "triplets": len(mined), "seconds": time.perf_counter() - START}))


def _timed(function: Callable[..., Any], told: dict[str, float], name: str) -> Callable[..., Any]:
    """Return a function that notes its seconds, and of pairs how many they were."""

    def called(inputs: Any, *args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(inputs, *args, **options)
        finally:
            told[name] += time.perf_counter() - start
            if name == "score":
                told["pairs_scored"] += len(inputs)

    return called


if __name__ == "__main__":
    main()
