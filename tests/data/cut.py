"""Make the cuts of public collections that lie beside this file: the passages of the smallest digests, and questions.

    python tests/data/cut.py DATA

DATA holds whole collections in the BEIR layout. A passage is kept with its first questions only; the texts are not
changed. The same DATA gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hardneg.transforms.core.text import cut_digest

HERE = Path(__file__).parent
PASSAGES = {"squad11": 240, "cmrc2018": 200}
QUESTIONS = 2  # a passage


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def cut(source: Path, target: Path, passages: int) -> None:
    """Write the cut of one collection."""
    corpus = sorted(read(source / "corpus.jsonl"), key=lambda row: cut_digest(row["_id"]))[:passages]
    kept = sorted(corpus, key=lambda row: row["_id"])
    left = {row["_id"]: QUESTIONS for row in kept}
    asked = set()
    for split in sorted((source / "qrels").glob("*.tsv")):
        head, *lines = split.read_text(encoding="utf-8").splitlines()
        taken = []
        for line in sorted(lines):
            query, passage, _ = line.split("\t")
            if left.get(passage, 0):
                left[passage] -= 1
                asked.add(query)
                taken.append(line)
        (target / "qrels").mkdir(parents=True, exist_ok=True)
        (target / "qrels" / split.name).write_text("\n".join([head, *taken]) + "\n", encoding="utf-8")
    write(target / "corpus.jsonl", kept)
    write(target / "queries.jsonl", [row for row in read(source / "queries.jsonl") if row["_id"] in asked])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    for name, passages in PASSAGES.items():
        cut(arguments.data / name, HERE / name, passages)


if __name__ == "__main__":
    main()
