"""A corpus of any size out of a small one: sentences drawn and put together anew, with vectors of a static table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from hardneg.transforms.core.text import passage_string
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec

_SENTENCES = (1, 4)  # a passage has one to three
_AT_A_TIME = 20_000


def make(source: Path, target: Path, passages: int, queries: int) -> None:
    """Write a collection with vectors, in the BEIR layout: what is drawn depends on the sizes alone.

    A query is the half of the words of one of its passage's sentences, in their order.

    Args:
        source: a collection whose sentences are drawn.
        target: a folder, which must not be there.
    """
    (target / "qrels").mkdir(parents=True)
    draw = np.random.default_rng(passages)
    sentences = np.array(sorted(_sentences(source)), dtype=object)
    texts: list[str] = []
    with (target / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for number in range(passages):
            text = " ".join(sentences[draw.integers(0, len(sentences), draw.integers(*_SENTENCES))])
            texts.append(text)
            file.write(json.dumps({"_id": f"p{number:08d}", "title": "", "text": text}, ensure_ascii=False) + "\n")
    asked: list[str] = []
    lines = ["query-id\tcorpus-id\tscore"]
    with (target / "queries.jsonl").open("w", encoding="utf-8") as file:
        for number, passage in enumerate(draw.choice(passages, queries, replace=False)):
            words = texts[passage].split()
            kept = sorted(draw.choice(len(words), max(1, len(words) // 2), replace=False))
            asked.append(" ".join(words[place] for place in kept))
            file.write(json.dumps({"_id": f"q{number:08d}", "text": asked[-1]}, ensure_ascii=False) + "\n")
            lines.append(f"q{number:08d}\tp{passage:08d}\t1")
    (target / "qrels" / "train.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for name, of in (("p", texts), ("q", asked)):
        _write_vectors(target / f"{name}.parquet", name, of)


def _sentences(source: Path) -> Iterator[str]:
    found = set()
    with (source / "corpus.jsonl").open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            text = passage_string(row.get("title") or "", row["text"])
            found |= {each.strip() for each in re.split(r"(?<=[.!?])\s+|\n+", text) if len(each.split()) > 3}
    return iter(found)


def _write_vectors(path: Path, name: str, texts: list[str]) -> None:
    """Write, for each text, the mean of its tokens' vectors in the bundled bi-encoder's table, less the table's."""
    folder = find_model(ModelSpec("bi-encoder", "bundled"))
    (weights,) = (load_file(path) for path in folder.glob("*.safetensors"))
    table = next(value for key, value in weights.items() if key.endswith("word_embeddings.weight")).astype(np.float32)
    table = table - table.mean(0)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    schema = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32()))])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(texts), _AT_A_TIME):
            part = texts[start : start + _AT_A_TIME]
            ids = tokenizer(part, add_special_tokens=False, truncation=True, max_length=128)["input_ids"]
            rows = np.stack([table[each or [0]].mean(0) for each in ids])
            values = pa.array(rows.reshape(-1), pa.float32())
            offsets = pa.array(np.arange(len(part) + 1, dtype=np.int32) * rows.shape[1])
            names = pa.array([f"{name}{start + place:08d}" for place in range(len(part))])
            writer.write_table(pa.table([names, pa.ListArray.from_arrays(offsets, values)], schema=schema))
