"""Make a small retrieval data set out of the documentation of the libraries that are installed anyway.

Nothing is downloaded. The first sentence of a function's documentation is a query, the rest of its prose is
the passage that answers it, and near relations (``numpy.sort`` and ``numpy.argsort``) are each other's hard
negatives. The result is a folder in the BEIR layout: corpus.jsonl, queries.jsonl, qrels/train.tsv.

    python examples/demo_data.py FOLDER
"""

from __future__ import annotations

import inspect
import json
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardneg.transforms.core.text import cut_digest, normalise

PASSAGES = 800
QUERIES = 150

# Where to look, in this order: of two names for one object, or two entries with one text, the first is kept.
# Modules and classes ("module:Class") are named one by one: a library's new module changes nothing here.
# pandas and scikit-learn come with other packages and may be absent: what is not installed is passed over.
SOURCES = (
    "numpy",
    "numpy.linalg",
    "numpy.fft",
    "numpy.strings",
    "numpy.random:Generator",
    "scipy.linalg",
    "scipy.stats",
    "scipy.ndimage",
    "scipy.spatial.distance",
    "scipy.fft",
    "pyarrow.compute",
    "pyarrow:Table",
    "pandas",
    "pandas:DataFrame",
    "sklearn.metrics",
    "sklearn.preprocessing",
)

# A deprecated alias that is an object of its own, with the documentation of the function that it calls.
LEFT_OUT = frozenset({"numpy.row_stack"})

# The pair that everybody knows is always in, as passages and as queries.
ALWAYS = ("numpy.sort", "numpy.argsort")

QUERY_WORDS = (4, 30)
PASSAGE_WORDS = (20, 80)
PASSAGE_CHARACTERS = 800
# A parameter's description says more about types than about the function after its first words.
PARAMETER_CHARACTERS = 160

# Parameters that most functions of a library share, in the same words, tell no two functions apart.
BOILERPLATE_PARAMETER = re.compile(
    r"args|casting|check_finite|copy|dtype|engine|keepdims|kwargs|like|memory_pool|min_count|nan_policy|options|"
    r"order|out|overwrite_[abx]|signature|skip_nulls|subok|where|workers"
)
# So do these sentences: they stand in dozens of entries, or point elsewhere.
BOILERPLATE = re.compile(
    r"User Guide|Array API|SCIPY_ARRAY_API|backend and device|linalg_batch|batch of lower-dimensional|"
    r"array argument|zero-size batches|Among flexible wrappers|"
    r"Argument to compute function|^See\b|\b(?:see|in|of|from|by|to|and)\.$"
)


@dataclass(frozen=True)
class Entry:
    """One documented function: its qualified name, its first sentence, and the rest as prose."""

    name: str
    query: str
    passage: str

    @property
    def may_ask(self) -> bool:
        """Whether the first sentence works as a query: of a sensible length, not naming the function."""
        low, high = QUERY_WORDS
        if not low <= len(self.query.split()) <= high:
            return False
        return normalise(self.name.rsplit(".", 1)[-1]) not in re.findall(r"\w+", normalise(self.query))


# --- from a documentation string to prose -------------------------------------------------------------------

_UNDERLINE = re.compile(r"^(-{3,}|={3,}|~{3,})$")
_SIGNATURE = re.compile(r"^[\w.]+\(.*$")
_ROLE = re.compile(r":[\w:+-]+:`~?([^`<]*?)(?:\s*<[^`>]*>)?`")
_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{1,2}")
_CITATION = re.compile(r"\s*(?:\[\w+\]_(?:,|\s*and)?)+")
_ABBREVIATION = re.compile(r"(?:\b(?:i\.e|e\.g|vs|etc|cf|al|resp|approx|Eq|Fig|Ref|No|[A-Z])|^\d+)\.$")
_CONTINUED = re.compile(r"(?:where|with|and|or|for|if|which|so|then|because|but|when|in|is)\b")
# The directive directly behind the first paragraph: further down it deprecates a parameter or a special case.
_DEPRECATED = re.compile(r"\A(?:.*\bdeprecated\b|(?:.+\n)+\n+\.\. deprecated::)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.?!](?=\s+\S)")


def without_marks(text: str) -> str:
    """Return one paragraph without its reStructuredText marks, its white space made single."""
    text = _ROLE.sub(r"\1", text)
    text = _LINK.sub(r"\1", text)
    text = _CITATION.sub("", text)
    text = re.sub(r"``?([^`]+)``?_?", r"\1", text)
    text = re.sub(r"\*\*([^*\s][^*]*)\*\*|(?<!\*)\*([^*\s][^*]*)\*(?!\*)", r"\1\2", text)
    text = text.replace("::", ":").replace("\\", "").replace("--", "\N{EN DASH}")
    return " ".join(text.split())


def sentences(text: str) -> list[str]:
    """Cut a paragraph into sentences; a full stop after an abbreviation or an initial ends none."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text[start : end.end()]):
            continue
        found.append(text[start : end.end()].strip())
        start = end.end()
    rest = text[start:].strip()
    return [*found, rest] if rest else found


def sections(doc: str) -> dict[str, list[str]]:
    """Split a numpydoc string into its sections' lines; what stands before the first heading is ''."""
    lines = inspect.cleandoc(doc).splitlines()
    found: dict[str, list[str]] = {"": []}
    heading, i = "", 0
    while i < len(lines):
        if i + 1 < len(lines) and lines[i].strip() and _UNDERLINE.match(lines[i + 1].strip()):
            heading = lines[i].strip()
            found.setdefault(heading, [])
            i += 2
            continue
        found[heading].append(lines[i])
        i += 1
    return found


def paragraphs(lines: list[str]) -> list[str]:
    """Return the plain paragraphs of some lines, without their reStructuredText marks.

    Left out are directives, formulas, lists, tables, code and indented blocks, and with them the sentence
    that such a block interrupts: what leads up to it and what goes on, uncapitalised, behind it.
    """
    found: list[str] = []
    for block in re.split(r"\n\s*\n", "\n".join(lines)):
        first = block.strip("\n")
        if not first.strip() or first.startswith((" ", "\t")):
            continue
        if first.startswith(("..", ">>>", "- ", "* ", "+", "|", "=", "#", "1.")) or ":math:" in first:
            continue
        if "\n " in first:  # a hanging indent: a definition, or a list that starts without a blank line
            continue
        whole = [s for s in sentences(without_marks(first)) if s.endswith((".", "?", "!", ".)"))]
        if whole and _CONTINUED.match(whole[0]):
            whole.pop(0)
        text = " ".join(whole)
        if text:
            found.append(text)
    return found


def parameters(lines: list[str]) -> Iterator[str]:
    """Yield ``name: what it is.`` for each entry of a Parameters section, the first sentence of each."""
    entry: str | None = None
    body: list[str] = []

    def finished() -> Iterator[str]:
        if entry is None or any(BOILERPLATE_PARAMETER.fullmatch(n.strip(" *")) for n in entry.split(",")):
            return
        prose = paragraphs(inspect.cleandoc("\n".join(body)).splitlines())
        first = sentences(prose[0])[0] if prose else ""
        if first and len(first) <= PARAMETER_CHARACTERS:
            yield f"{entry.replace('*', '')}: {first.rstrip('.')}."

    for line in lines:
        if line.strip() and not line.startswith((" ", "\t")):
            yield from finished()
            entry, body = line.split(" :")[0].strip(), []
        elif entry is not None:
            body.append(line)
    yield from finished()


def first_sentence_and_rest(doc: str) -> tuple[str, str] | None:
    """Return the first sentence and the rest of the prose, or None for what is deprecated or has no rest.

    The rest is the description, the notes and, where these leave room, what the parameters are and what comes
    back: whole sentences, at most ``PASSAGE_WORDS[1]`` words and ``PASSAGE_CHARACTERS`` characters.
    """
    parts = sections(doc)
    lines = list(parts[""])
    while lines and (not lines[0].strip() or _SIGNATURE.match(lines[0].strip())):
        lines.pop(0)  # compiled functions begin with their signature
    head = paragraphs(lines)
    if not head or _DEPRECATED.search("\n".join(lines)):
        return None
    query, *others = sentences(head[0])
    prose = [*others, *(s for text in head[1:] for s in sentences(text))]
    prose += [s for text in paragraphs(parts.get("Notes", [])) for s in sentences(text)]
    facts = list(parameters(parts.get("Parameters", [])))
    facts += [f"Returns {fact}" for fact in parameters(parts.get("Returns", []))]
    if not prose and not facts:
        return None
    return query, fitted(prose, facts, query)


def fitted(prose: list[str], facts: list[str], query: str) -> str:
    """Join as many whole sentences as fit, the query's own words left out; prose first, then the facts."""
    kept: list[str] = []
    for sentence in prose + facts:
        repeats = sentence in kept or normalise(query).rstrip(".") in normalise(sentence)
        if repeats or BOILERPLATE.search(sentence):
            continue
        longer = " ".join([*kept, sentence])
        if len(longer.split()) > PASSAGE_WORDS[1] or len(longer) > PASSAGE_CHARACTERS:
            break
        kept.append(sentence)
    return " ".join(kept)


# --- from libraries to a data set ---------------------------------------------------------------------------


def documented(source: str) -> Iterator[tuple[str, Any]]:
    """Yield (qualified name, function) for the public functions of a module or a class.

    Sorted by name, but names that a function does not call itself by (``numpy.concat`` for
    ``numpy.concatenate``) come last.
    """
    try:
        owner = pkgutil.resolve_name(source)
    except ImportError:
        return
    prefix = source.replace(":", ".")
    found: list[tuple[bool, str, Any]] = []
    for name in set(getattr(owner, "__all__", None) or dir(owner)):
        if name.startswith("_") or f"{prefix}.{name}" in LEFT_OUT:
            continue
        try:
            function = getattr(owner, name)
        except (AttributeError, ImportError):  # announced, but not there without further steps
            continue
        # Universal functions are callable objects of a class of their own, not routines.
        if inspect.isroutine(function) or type(function).__name__ == "ufunc":
            found.append((getattr(function, "__name__", name) != name, f"{prefix}.{name}", function))
    for _, name, function in sorted(found, key=lambda item: item[:2]):
        yield name, function


def entries(sources: tuple[str, ...] = SOURCES) -> list[Entry]:
    """Return every entry that the sources offer, each object, query and passage once."""
    found: list[Entry] = []
    objects: dict[int, Any] = {}  # kept alive: the id of a bound method that is gone would soon be another's
    texts: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking at a deprecated name warns
        for source in sources:
            for name, function in documented(source):
                if id(function) in objects:  # an alias
                    continue
                objects[id(function)] = function
                split = first_sentence_and_rest(function.__doc__ or "")
                if split is None:
                    continue
                query, passage = split
                keys = {normalise(query), normalise(passage)}
                if len(passage.split()) < PASSAGE_WORDS[0] or keys & texts:
                    continue
                texts |= keys
                found.append(Entry(name, query, passage))
    return found


def chosen(candidates: list[Entry], count: int, what: str) -> list[Entry]:
    """Return ``count`` entries: those that are always in, then the smallest digests of their names."""

    def place(entry: Entry) -> tuple[bool, int]:
        return entry.name not in ALWAYS, cut_digest(f"{what} {entry.name}")

    return sorted(sorted(candidates, key=place)[:count], key=lambda entry: entry.name)


def write_lines(path: Path, lines: list[str]) -> None:
    """Write lines with a newline after each, the same bytes on every system."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))


def build(folder: Path, say: Callable[[str], None] = lambda _: None) -> tuple[int, int]:
    """Write the data set into ``folder`` and return the numbers of its passages and queries.

    A passage's title is the function's qualified name, as in a documentation's index: it lets a person judge
    at a glance, and gives little away, because no query contains its own function's name.
    """
    offered = entries()
    corpus = chosen(offered, PASSAGES, "passage")
    asked = chosen([entry for entry in corpus if entry.may_ask], QUERIES, "query")
    (folder / "qrels").mkdir(parents=True, exist_ok=True)

    def as_json(**fields: str) -> str:
        return json.dumps(fields, ensure_ascii=False)

    write_lines(folder / "corpus.jsonl", [as_json(_id=e.name, title=e.name, text=e.passage) for e in corpus])
    write_lines(folder / "queries.jsonl", [as_json(_id=f"what-is-{e.name}", text=e.query) for e in asked])
    write_lines(
        folder / "qrels" / "train.tsv",
        ["query-id\tcorpus-id\tscore", *(f"what-is-{e.name}\t{e.name}\t1" for e in asked)],
    )
    say(f"{folder}: {len(corpus)} passages, {len(asked)} queries, of {len(offered)} documented functions")
    return len(corpus), len(asked)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/demo_data.py FOLDER")
    build(Path(sys.argv[1]), print)
