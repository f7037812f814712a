"""What tests of a refresh share: a collection that changes from night to night, and a refresh in a child."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from conftest import ANIMALS, PLACES, write_beir

MODELS = ("bi_encoder", "cross_encoder")
OPTIONS: dict[str, Any] = {
    "k": 8,
    "negatives": 2,
    "output_shards": 2,
    "calibration_queries": 6,
    "max_rejected": 1.0,  # deletions leave judgements without a passage
}


class Collection:
    """Passages, queries and judgements that are added, edited and deleted by chance."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._next = 0
        self.passages = {
            f"{animal}-{place}": f"In {place} the {animal} lives near water and eats {food}."
            for animal in ANIMALS[:5]
            for place, food in PLACES.items()
        }
        self.queries = {f"q-{animal}": f"What does the {animal} eat in Norway?" for animal in ANIMALS[:5]}
        self.qrels = {(f"q-{animal}", f"{animal}-Norway"): 1 for animal in ANIMALS[:5]}

    def change(self) -> None:
        """Change a few things."""
        for _ in range(self._draw.randint(1, 3)):
            self._draw.choice(
                [self._add, self._edit, self._delete, self._ask, self._reword, self._forget, self._judge]
            )()

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _add(self) -> None:
        animal, place = self._draw.choice(ANIMALS), self._draw.choice(list(PLACES))
        self.passages[f"new-{self._number()}"] = f"The {animal} of {place} sleeps {self._next} hours and eats mice."

    def _edit(self) -> None:
        self.passages[self._draw.choice(sorted(self.passages))] += f" It was seen {self._number()} times."

    def _delete(self) -> None:
        kept = {passage for _, passage in self.qrels}
        free = sorted(set(self.passages) - kept)
        del self.passages[self._draw.choice(free)]

    def _ask(self) -> None:
        passage = self._draw.choice(sorted(self.passages))
        query = f"q-{self._number()}"
        self.queries[query] = f"Which food is eaten there, number {self._next}? {self.passages[passage][:20]}"
        self.qrels[query, passage] = 1

    def _reword(self) -> None:
        query = self._draw.choice(sorted(self.queries))
        self.queries[query] = f"Tell me {self._number()} times: {self.queries[query]}"

    def _forget(self) -> None:
        if len(self.queries) > 4:
            query = self._draw.choice(sorted(self.queries))
            del self.queries[query]
            self.qrels = {pair: grade for pair, grade in self.qrels.items() if pair[0] != query}

    def _judge(self) -> None:
        query, passage = self._draw.choice(sorted(self.queries)), self._draw.choice(sorted(self.passages))
        self.qrels.setdefault((query, passage), self._draw.choice([0, 1]))

    def write(self, folder: Path) -> Path:
        """Write it in the BEIR layout."""
        return write_beir(
            folder,
            [{"_id": key, "title": "", "text": text} for key, text in self.passages.items()],
            [{"_id": key, "text": text} for key, text in self.queries.items()],
            [(query, passage, grade) for (query, passage), grade in self.qrels.items()],
        )


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a snapshot that must be the same whenever and however it was made.

    Times and what was in the store differ: of the manifest and of diff.json the rest counts, and of the page nothing.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name == "report.html":
            continue
        data = path.read_bytes()
        if name == "manifest.json":
            told = json.loads(data)
            measured = ("encoded", "logits_", "store_files", "pairs_cut")
            counts = {key: value for key, value in told["counts"].items() if not any(each in key for each in measured)}
            gone = {"seconds", "wall_seconds", "counts", "options", "share_of_pairs_cut"}
            data = json.dumps([counts, {key: value for key, value in told.items() if key not in gone}]).encode()
        if name == "diff.json":
            data = json.dumps({key: value for key, value in json.loads(data).items() if key != "store"}).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def refresh_in_child(store: str, options: dict[str, Any], date: str) -> None:
    """Refresh a store; what a child process does that is killed."""
    from hardneg.pipelines.commands.refresh import refresh
    from hardneg.pipelines.options.refresh import RefreshOptions

    refresh(RefreshOptions(store=store, date=date), options, ["--direct_num_workers=1"])
