"""What a run's page says: from a report, a manifest and highlights to sentences, tables and pairs; no HTML here."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.report.reason_texts import NOTHING_PROMISED, STATUSES, meaning
from hardneg.pipelines.report.report import Report
from hardneg.pipelines.report.tables import denoising_text, number, share
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.reports.funnel import Step, funnel
from hardneg.transforms.reports.highlights import OVERLAP_GROUPS, Highlights, Row

MOST_CELLS = 600  # of a text that is shown; a Chinese character takes two
_MOST_COMBINATIONS = 8
_ASIDE = {"output", "work", "overwrite", "input", "from_run", "corpus", "queries", "qrels", "pairs"}


@dataclass(frozen=True)
class Passage:
    """A text to show: what it is to its query, its id, its scores and ranks, its language as its script tells it."""

    role: str
    identifier: str
    text: str
    language: str
    facts: str = ""


@dataclass(frozen=True)
class Overlap:
    """How many pairs each combination of retrievers found, one column a group of ``highlights.OVERLAP_GROUPS``."""

    names: list[str]
    counts: list[list[int]]

    @property
    def by_group(self) -> dict[str, list[int]]:
        return {group: [row[place] for row in self.counts] for place, group in enumerate(OVERLAP_GROUPS)}


def status_of(promised: dict[str, Any]) -> str:
    return promised.get("status") or NOTHING_PROMISED


def first_line(found: Report) -> str:
    """Return the sentence that says all: what was mined, of how many queries, and what is promised of it."""
    mined = found.mined
    what = f"{mined.mined:,} negatives mined for {mined.queries:,} queries"
    return f"{what}; {denoising_text(found.promised) or STATUSES[NOTHING_PROMISED] + '.'}"


def ran_on(manifest: dict[str, Any], config: MineConfig, denoising: CalibratedJudge) -> list[tuple[str, list[str]]]:
    """Return what ran on what: (heading, lines)."""
    counts, models = manifest["counts"], manifest.get("models", {})
    retrievers = [
        f"{source.name}: {_model(models[source.name])}" if source.name in models else source.name
        for source in config.sources
    ]
    signals = ", ".join(f"{part.name} (weight {part.weight:.2f})" for part in denoising.judge.parts)
    versions = manifest.get("versions", {})
    libraries = [f"{name} {versions[name]}" for name in ("torch", "transformers", "apache-beam") if name in versions]
    rows = {
        "mined from": [f"the finished run {path}" for path in [manifest["options"].get("from_run")] if path],
        "inputs": [f"{file['path']} ({file['kind']}, {_size(file['bytes'])})" for file in manifest.get("inputs", [])],
        "collection": [
            f"{counts.get('passages', 0):,} passages, {counts.get('queries', 0):,} queries, "
            f"{counts.get('positives', 0):,} known positives, {counts.get('positives_retrieved', 0):,} of them "
            f"retrieved"
        ],
        "retrievers": [*retrievers, f"the first {config.k:,} of each"],
        "cross-encoder": [_model(models["cross_encoder"]) if models.get("cross_encoder") else "none"],
        "judge": [f"{denoising.judge_name}: {signals}"],
        "options": _options(manifest["options"]) or ["all at their defaults"],
        "machine": [f"{manifest['processor']}, Python {manifest['python']}"] if "processor" in manifest else [],
        "versions": [", ".join([f"hardneg {manifest.get('hardneg', '')}", *libraries])],
    }
    return [(name, lines) for name, lines in rows.items() if lines]


def _model(description: dict[str, Any]) -> str:
    parts = [str(description[name]) for name in ("name", "revision", "dtype", "device") if description.get(name)]
    if length := description.get("max_length"):
        parts.append(f"at most {length} tokens")
    return f"{description.get('model', 'unknown')} ({', '.join(parts)})" if parts else str(description.get("model"))


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000  # type: ignore[assignment]
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"


def _options(given: dict[str, Any]) -> list[str]:
    """Return the options that are not at their defaults, as they are typed."""
    typed = []
    for name, field in MineConfig.model_fields.items():
        value = given.get(name)
        if name in _ASIDE or value is None or value == field.get_default(call_default_factory=True):
            continue
        option = f"--{name.replace('_', '-')}"
        typed += [option] if value is True else [f"{option} {each}" for each in _listed(value)]
    return typed


def _listed(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [f"{name}={each}" for name, each in value.items()]
    return value if isinstance(value, list) else [value]


def steps_of(found: Report, seen: Highlights) -> list[Step]:
    """Return the funnel of the run's pairs."""
    return funnel(seen.kinds, found.mined.mined)


def queries_line(found: Report, manifest: dict[str, Any]) -> str:
    """Return what became of the queries, from those that were read to triplets."""
    mined, counts = found.mined, manifest["counts"]
    read = counts.get("queries_read", mined.queries)
    left_out = {
        "of an evaluation set": counts.get("queries_held_out", 0),
        "without a known positive": counts.get("queries_without_positives", 0),
    }
    if manifest["options"].get("max_queries"):
        left_out["beyond --max-queries"] = read - mined.queries - sum(left_out.values())
    gone = [f"{queries:,} {what}" for what, queries in left_out.items() if queries > 0]
    aside = f" ({', '.join(gone)})" if gone else ""
    return (
        f"{read:,} queries read{aside}, {mined.queries:,} mined: {mined.queries_full:,} have "
        f"{'their one negative' if found.negatives == 1 else f'all {found.negatives} negatives'}, "
        f"{mined.queries_none:,} none. Yield {share(mined.yielded)}, mean similarity "
        f"{number(mined.similarity, 3)}. {counts.get('triplets', 0):,} triplets: each mined negative with each "
        "positive of its query."
    )


def drop_groups(steps: Sequence[Step]) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    """Return what left the funnel on its way, step by step: (what it was, [(pairs, verdict, reason, meaning)])."""
    return [
        (
            step.gone_as,
            [
                (f"{pairs:,}", verdict, reason or "", _why_gone(step, verdict, reason))
                for (verdict, reason), pairs in step.gone
            ],
        )
        for step in steps
        if step.gone
    ]


def _why_gone(step: Step, verdict: str, reason: str | None) -> str:
    if step.name == "mined":
        return "passed every threshold, but the query had its negatives already"
    return meaning(verdict, reason)


def promise_rows(promised: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the figures behind the promise; a rate stands beside its status."""
    status, figures, leak = status_of(promised), promised.get("figures", {}), promised.get("leak", {})
    asked = promised.get("target") is not None
    rows = {
        "status": f"{status}: {STATUSES.get(status, '')}",
        "false-negative rate asked for": share(promised["target"]) if asked else None,
        "at most": _known(promised, "upper_bound", share),
        "expected at gamma 1": _known(promised, "expected_rate", share),
        "gamma": _known(promised, "gamma", lambda value: f"{value:.3g}"),
        "the target holds up to gamma": _known(promised, "largest_gamma", lambda value: f"{value:.3g}"),
        "leak rate asked for, or fallen back on": _known(leak, "alpha", share),
        "threshold on the judge": _known(promised, "threshold", lambda value: f"{value:.4g}"),
        "threshold on the sigmoid": _known(promised, "max_sigmoid", lambda value: f"{value:.4g}"),
        "yield in the sample": _known(figures, "yield", share),
        "hardness in the sample": _known(figures, "hardness", lambda value: f"{value:.3f}"),
        "leak rate in the sample": _known(figures, "leak_rate", share),
    }
    return [(name, value) for name, value in rows.items() if value is not None]


def _known(values: dict[str, Any], name: str, told: Any) -> str | None:
    value = values.get(name)
    return None if value is None else told(value)


def overlap_of(seen: Highlights) -> Overlap:
    """Return the combinations of retrievers, the most frequent first; the rarest ones are joined."""
    counted: dict[tuple[str, ...], Counter[str]] = {}
    for (group, sources), pairs in seen.overlap.items():
        counted.setdefault(sources, Counter())[group] += pairs
    ordered = sorted(counted.items(), key=lambda item: (-item[1]["all"], item[0]))
    rows = [(_combination(sources, seen), [counts[group] for group in OVERLAP_GROUPS]) for sources, counts in ordered]
    if len(rows) > _MOST_COMBINATIONS:
        rest = [sum(column) for column in zip(*(counts for _, counts in rows[_MOST_COMBINATIONS - 1 :]), strict=True)]
        rows = [*rows[: _MOST_COMBINATIONS - 1], ("other combinations", rest)]
    return Overlap([name for name, _ in rows], [counts for _, counts in rows])


def _combination(sources: tuple[str, ...], seen: Highlights) -> str:
    if not sources:
        return "none of them"
    several = len({name for _, names in seen.overlap for name in names}) > 1
    return f"{sources[0]} alone" if len(sources) == 1 and several else " + ".join(sources)


# Texts to judge by eye: the query's, then its passages'.
Pair = list[Passage]


def triplets_of(seen: Highlights) -> list[Pair]:
    """Return the triplets to judge by eye."""
    return [
        [
            _query(seen, negative),
            _passage(seen, positive, "positive" if positive["verdict"] == Verdict.POSITIVE else "suspected"),
            _passage(seen, negative, "negative"),
        ]
        for positive, negative in seen.triplets
    ]


def pairs_of(seen: Highlights, rows: Sequence[Row], role: str) -> list[Pair]:
    """Return suspicious pairs."""
    return [[_query(seen, row), _passage(seen, row, role)] for row in rows]


def _facts(row: Row) -> str:
    scores = [
        f"{title} {row[name]:.3f}"
        for name, title in (("judge_score", "judge score"), (LOGIT, "logit"), ("similarity", "similarity"))
        if row[name] is not None
    ]
    ranks = [
        f"{name.removeprefix('rank_')} {row[name]}"
        for name in row
        if name.startswith("rank_") and row[name] is not None
    ]
    return ", ".join([*scores, f"rank by {', by '.join(ranks)}" if ranks else "not retrieved"])


def _query(seen: Highlights, row: Row) -> Passage:
    return _shown("query", row["query_id"], seen.queries)


def _passage(seen: Highlights, row: Row, role: str) -> Passage:
    return _shown(role, row["passage_id"], seen.passages, _facts(row))


def _shown(role: str, identifier: str, texts: dict[str, str], facts: str = "") -> Passage:
    text = texts.get(identifier, "")
    return Passage(role, readable(identifier), shortened(readable(text)), language_of(text), readable(facts))


def readable(text: str) -> str:
    """Return text without control characters; what joins letters or turns their direction stays."""
    return "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)


def shortened(text: str, most: int = MOST_CELLS) -> str:
    """Return a text that is too long cut, with an ellipsis."""
    cells = 0
    for place, character in enumerate(text):
        cells += 1 + (unicodedata.east_asian_width(character) in "WF")
        if cells > most:
            return text[:place].rstrip() + "…"
    return text


def language_of(text: str) -> str:
    """Return the language that a text's script tells, for a browser's choice of glyphs: zh, ja, ko; else unknown."""
    if any("぀" <= character <= "ヿ" for character in text):
        return "ja"
    if any("가" <= character <= "힣" for character in text):
        return "ko"
    return "zh" if any("㐀" <= character <= "鿿" for character in text) else ""
