"""Write 1,000 pairs and a corpus such as a user of ``hardneg train-judge`` might have.

    python -m benchmarks.models.own_pairs code --output PAIRS
    python -m benchmarks.models.own_pairs packages --data DATA --output PAIRS
    hardneg train-judge --pairs PAIRS/pairs.jsonl --corpus PAIRS/corpus.jsonl --output JUDGE

``code`` pairs the first sentence of a docstring with the source of its function, without the docstring, from the
installed Python packages: a kind of passage that the bundled cross-encoder has never seen. ``packages`` pairs short
and long descriptions of Debian packages: of a kind that it has seen, but none that it learned from.
"""

from __future__ import annotations

import argparse
import ast
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from hardneg.transforms.core.text import cut_digest, normalise, passage_string

PAIRS, OTHERS = 1000, 4000
SEEN = 6000  # Debian descriptions of the smallest digests, which the bundled model has learned from
PACKAGES = ("networkx", "numpy", "pandas", "scipy", "sklearn", "sympy", "transformers")
SHORTEST_QUERY, LONGEST_QUERY, SHORTEST_SOURCE, LONGEST_SOURCE = 20, 150, 200, 1200


def code() -> list[tuple[str, str]]:
    """Return (first sentence, source) of documented functions, one of each sentence, by digest."""
    found: dict[str, tuple[str, str]] = {}
    for package in PACKAGES:
        for path in sorted((Path(sysconfig.get_path("purelib")) / package).rglob("*.py")):
            if "tests" not in path.parts:
                found |= {normalise(query): (query, source) for query, source in functions(path)}
    return [found[text] for text in sorted(found, key=lambda text: (cut_digest(text), text))]


def functions(path: Path) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        query = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
        if SHORTEST_QUERY <= len(query) <= LONGEST_QUERY and len(node.body) > 1:
            del node.body[0]
            source = ast.unparse(node)
            if SHORTEST_SOURCE <= len(source) <= LONGEST_SOURCE:
                yield query, source


def packages(data: Path) -> list[tuple[str, str]]:
    """Return (short, long description) of the train split by digest, without those that the bundled model has seen."""
    folder = data / "debian_packages"
    texts = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}
    passages = {row["_id"]: passage_string(row.get("title"), row["text"]) for row in _rows(folder / "corpus.jsonl")}
    lines = (folder / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    qrels = sorted((line.split("\t")[:2] for line in lines), key=lambda pair: cut_digest(pair[0]))
    return [(texts[query], passages[passage]) for query, passage in qrels[SEEN:]]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["code", "packages"])
    parser.add_argument("--data", type=Path, help="the folder of the collections, for packages")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write")
    args = parser.parse_args()
    if args.kind == "packages" and not args.data:
        parser.error("packages needs --data")
    pairs = code() if args.kind == "code" else packages(args.data)
    if len(pairs) < PAIRS + OTHERS:
        raise SystemExit(f"only {len(pairs):,} pairs were found, and {PAIRS + OTHERS:,} are needed")
    args.output.mkdir(parents=True, exist_ok=True)
    with (args.output / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for query, passage in pairs[:PAIRS]:
            file.write(json.dumps({"query": query, "positive": passage}, ensure_ascii=False) + "\n")
    passages = dict.fromkeys(passage for _, passage in pairs[: PAIRS + OTHERS])
    with (args.output / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for place, passage in enumerate(passages):
            file.write(json.dumps({"_id": f"p{place}", "text": passage}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
