"""Write the collections that the bundled cross-encoder learns from, as BEIR folders.

    python models/recipe/training_collections.py --data DATA --output COLLECTIONS

``squad11``, ``cmrc2018`` and ``debian_packages`` are cut down to their training split: no query and no passage of
``test``, ``dev`` or ``hidden`` gets in. ``docstrings`` are those of the installed Python packages: the first
paragraph is the query, the rest its passage.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from hardneg.transforms.core.text import cut_digest, normalise

QUERIES = {"squad11": 8508, "cmrc2018": 10142, "debian_packages": 6000}
DOCSTRINGS = 6000
PACKAGES = (
    *("apache_beam", "datasets", "fsspec", "networkx", "numba", "numpy", "pandas", "pyarrow", "pydantic", "rich"),
    *("scipy", "sentence_transformers", "sklearn", "sympy", "torch", "transformers"),
)
SHORTEST_QUERY, LONGEST_QUERY, SHORTEST_PASSAGE, LONGEST_PASSAGE = 20, 200, 150, 1000

Row = dict[str, str]


def training_part(source: Path, most: int) -> tuple[list[Row], list[Row], list[tuple[str, str]]]:
    """Return passages, queries and qrels of a collection's training split: the queries of the smallest digests."""
    lines = (source / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    qrels = sorted(((line.split("\t")[0], line.split("\t")[1]) for line in lines), key=lambda pair: cut_digest(pair[0]))
    qrels = qrels[:most]
    query_ids, passage_ids = ({pair[place] for pair in qrels} for place in (0, 1))
    passages = [row for row in rows(source / "corpus.jsonl") if row["_id"] in passage_ids]
    queries = [row for row in rows(source / "queries.jsonl") if row["_id"] in query_ids]
    return passages, queries, qrels


def rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield {name: row[name] for name in ("_id", "title", "text") if name in row}


def docstrings(most: int) -> tuple[list[Row], list[Row], list[tuple[str, str]]]:
    """Return the docstrings of installed packages as a collection: those of the smallest digests."""
    site = Path(sysconfig.get_path("purelib"))
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in sorted((site / package).rglob("*.py")):
            if "tests" not in path.parts:
                found |= {normalise(query): f"{query}\0{passage}" for query, passage in docstrings_of(path)}
    pairs = sorted((tuple(both.split("\0")) for both in found.values()), key=lambda pair: cut_digest(pair[0]))[:most]
    passages = [{"_id": f"p{place}", "title": "", "text": passage} for place, (_, passage) in enumerate(pairs)]
    queries = [{"_id": f"q{place}", "text": query} for place, (query, _) in enumerate(pairs)]
    return passages, queries, [(f"q{place}", f"p{place}") for place in range(len(pairs))]


def docstrings_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (first paragraph, rest) of a source file's docstrings, each with its white space folded."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Module)):
            continue
        first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
        query, passage = " ".join(first.split()), " ".join(rest.split())[:LONGEST_PASSAGE]
        if SHORTEST_QUERY <= len(query) <= LONGEST_QUERY and len(passage) >= SHORTEST_PASSAGE:
            yield query, passage


def write(folder: Path, passages: list[Row], queries: list[Row], qrels: list[tuple[str, str]]) -> None:
    (folder / "qrels").mkdir(parents=True)
    for name, table in (("corpus", passages), ("queries", queries)):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table)
    lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{passage}\t1" for query, passage in qrels)]
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the collections")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    args = parser.parse_args()
    for name, most in QUERIES.items():
        write(args.output / name, *training_part(args.data / name, most))
    write(args.output / "docstrings", *docstrings(DOCSTRINGS))


if __name__ == "__main__":
    sys.exit(main())
