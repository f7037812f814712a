"""What verdicts, reasons and status words mean, in one sentence each: for a terminal, and as the README's table."""

from __future__ import annotations

from hardneg.errors import HardnegError, parameter
from hardneg.transforms.filters.registry import meanings
from hardneg.transforms.filters.verdicts import Meaning, Verdict

VERDICTS = {
    Verdict.POSITIVE: f"known relevant: a grade of at least {parameter('min_relevance')}",
    Verdict.NEGATIVE: "passed every threshold; mined if it is also `selected`",
    Verdict.SUSPECTED_POSITIVE: "perhaps relevant, so worth a look",
    Verdict.DROPPED: "left out",
    Verdict.UNSCORED: "not scored, because the query had its negatives before its turn came",
}
_LIKE_A_POSITIVE = (
    "its judge score is at least that of the query's lowest positive, or the median of all positives: perhaps "
    "relevant, so worth a look"
)
NOTHING_PROMISED = "nothing promised"
STATUSES = {
    "certified": "a person marked a random sample of the mined pairs, which bounds the rate",
    "estimated": "a one-sided 95 % bound under an assumption: that the scores of unlabelled relevant passages are "
    "distributed like those of labelled ones, up to a factor gamma in density",
    "unsupported": "what was asked for cannot be promised of this run; its reason says why, and what stands instead",
    NOTHING_PROMISED: "no target was asked for, so nothing is known of the false-negative rate",
}


def meaning(verdict: str, reason: str | None) -> str:
    """Return what a verdict and its reason say of a candidate."""
    known = meanings()
    if verdict not in set(Verdict):
        return "of another version of hardneg"
    if reason is None:
        return _plain(VERDICTS[Verdict(verdict)])
    if reason not in known:
        return "of a filter that is not known here, or of another version of hardneg"
    of_reason = known[reason]
    text = of_reason.beside.get(Verdict(verdict), of_reason.sentence)
    if verdict == Verdict.SUSPECTED_POSITIVE and of_reason.kind == "threshold":
        return _plain(f"{text}, and {_LIKE_A_POSITIVE}")
    return _plain(text)


def options_of(reason: str) -> tuple[str, ...]:
    """Return the names of the options that decide for a reason."""
    known = meanings().get(reason)
    return known.options if known else ()


def verdict_table() -> str:
    """Return every verdict with every reason beside it, as a table in Markdown: that of the README."""
    known = meanings()
    guards = [each for each in known.values() if each.kind == "guard"]
    rows: list[tuple[Verdict, str, str]] = [(Verdict.POSITIVE, "", VERDICTS[Verdict.POSITIVE])]
    rows += [(Verdict.POSITIVE, each.reason, each.sentence) for each in known.values() if each.kind == "positive"]
    rows += _beside(guards, Verdict.POSITIVE)
    rows.append((Verdict.NEGATIVE, "", VERDICTS[Verdict.NEGATIVE]))
    failed = "failed a threshold, one of the last rows below, which is its reason"
    rows.append((Verdict.SUSPECTED_POSITIVE, "", f"{failed}, and {_LIKE_A_POSITIVE}"))
    rows += _beside(guards, Verdict.SUSPECTED_POSITIVE)
    rows.append((Verdict.UNSCORED, "", VERDICTS[Verdict.UNSCORED]))
    rows += [
        (Verdict.DROPPED, each.reason, each.beside.get(Verdict.DROPPED, each.sentence))
        for each in known.values()
        if each.kind != "positive"
    ]
    lines = [
        f"| `{verdict}` | {f'`{reason}` ' if reason else ''}| {_told(text, True)} |" for verdict, reason, text in rows
    ]
    return "\n".join(["| verdict | reason | meaning |", "|---|---|---|", *lines])


def _beside(guards: list[Meaning], verdict: Verdict) -> list[tuple[Verdict, str, str]]:
    return [(verdict, each.reason, each.beside[verdict]) for each in guards if verdict in each.beside]


def _plain(text: str) -> str:
    return _told(text, False).replace("`", "")


def _told(text: str, quoted: bool) -> str:
    """Return a sentence with its options as the command line writes them."""
    quote = "`" if quoted else ""
    return HardnegError(text).told(lambda name: f"{quote}--{name.replace('_', '-')}{quote}")
