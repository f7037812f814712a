"""How near do the models come to a bare loop of the library, and how much of their work is padding?

    python -m benchmarks.model_rates --data DATA/squad11 [--tokens 15 150 400] [--texts 512] [--rounds 3]

For each length profile, texts of the collection are cut so that they have about so many tokens, from half to one and a
half times as many. The bundled cross-encoder scores them in pairs (the length is the pair's), the bundled bi-encoder
encodes them: by hardneg, and by `CrossEncoder.predict` and `SentenceTransformer.encode` at their default batch of 32,
in the same dtype and process. The two take turns; the best round of each counts. Padding: tokens computed beyond those
of the texts, rows that fill a batch up among them, as a share of the latter.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder as BareCrossEncoder
from sentence_transformers import SentenceTransformer

from benchmarks.turns import taking_turns
from hardneg.transforms.models.backends.torch_backend import DTYPES
from hardneg.transforms.models.bi_encoder import BiEncoder
from hardneg.transforms.models.canonical_shapes import ShapeTable, plan_batches
from hardneg.transforms.models.cross_encoder import CrossEncoder
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokens", type=int, nargs="+", default=[15, 150, 400])
    parser.add_argument("--texts", type=int, default=512, help="of each profile; fewer make rows fill up more batches")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with (given.data / "corpus.jsonl").open(encoding="utf-8") as file:
        words = " ".join(json.loads(line)["text"] for line in file).split()
    reranker, encoder = ModelSpec("cross-encoder", "bundled").resolved(), ModelSpec("bi-encoder", "bundled").resolved()
    print(f"{os.cpu_count()} cores, {reranker.dtype}; {given.texts} texts a profile, best of {given.rounds} rounds")
    for tokens in given.tokens:
        texts = cut_texts(words, tokens, given.texts)
        queries = [" ".join(text.split()[: max(1, len(text.split()) // 4)]) for text in texts]
        passages = [" ".join(text.split()[max(1, len(text.split()) // 4) :]) for text in texts]
        print(f"{tokens:4} tokens  " + "  ".join([pairs(reranker, queries, passages, given.rounds),
                                                    embeddings(encoder, texts, given.rounds)]))  # fmt: skip


def cut_texts(words: list[str], tokens: int, number: int) -> list[str]:
    """Return texts of half to one and a half times so many tokens, at about 1.35 tokens a word, drawn with a seed."""
    draw = np.random.default_rng(tokens)
    lengths = np.maximum(4, draw.uniform(0.5, 1.5, number) * tokens / 1.35).astype(int)
    starts = draw.integers(0, len(words) - int(lengths.max()), number)
    return [" ".join(words[start : start + length]) for start, length in zip(starts, lengths, strict=True)]


def pairs(spec: ModelSpec, queries: list[str], passages: list[str], rounds: int) -> str:
    """Return pairs a second of hardneg, those of the library's loop, and the padding."""
    ours, bare = CrossEncoder(spec), BareCrossEncoder(str(find_model(spec)), **_loading(spec))
    both = list(zip(queries, passages, strict=True))
    mine, its = map(
        min,
        taking_turns(
            rounds, lambda: ours.score(queries, passages), lambda: bare.predict(both, show_progress_bar=False)
        ),
    )
    ids = ours.tokenizer(queries, passages, truncation=True, max_length=ours.max_length)["input_ids"]
    return _told("pairs", len(both), mine, its, padding(ids, spec.shapes, ours.max_length))


def embeddings(spec: ModelSpec, texts: list[str], rounds: int) -> str:
    """Return texts a second of hardneg, those of the library's loop, and the padding."""
    ours, bare = BiEncoder(spec), SentenceTransformer(str(find_model(spec)), **_loading(spec))
    mine, its = map(
        min,
        taking_turns(
            rounds, lambda: ours.encode(texts, "passage"), lambda: bare.encode(texts, show_progress_bar=False)
        ),
    )
    ids = ours.tokenizer(texts, truncation=True, max_length=ours.max_length)["input_ids"]
    return _told("texts", len(texts), mine, its, padding(ids, spec.shapes, ours.max_length))


def _loading(spec: ModelSpec) -> dict[str, Any]:
    how = {"dtype": DTYPES[spec.dtype], "use_safetensors": True}
    return {"device": spec.device, "local_files_only": True, "model_kwargs": how}


def padding(ids: list[list[int]], shapes: ShapeTable, max_length: int) -> float:
    """Return tokens computed beyond those of the texts, as a share of these."""
    lengths = np.array([len(each) for each in ids])
    computed = sum(length * len(rows) for length, rows in plan_batches(lengths, shapes, max_length))
    return float(computed / lengths.sum()) - 1


def _told(what: str, number: int, mine: float, its: float, share: float) -> str:
    return (
        f"{what}: {number / mine:7.1f}/s, the library's loop {number / its:7.1f}/s, ratio {its / mine:.2f}, "
        f"padding {share:.1%};"
    )


if __name__ == "__main__":
    main()
