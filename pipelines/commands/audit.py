"""`hardneg audit`: checks a set of training data, ours or another tool's. Runs no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from hardneg.errors import InputError, OptionError, parameter
from hardneg.pipelines.options.finished import AuditOptions
from hardneg.transforms.audit import auditing
from hardneg.transforms.audit.auditing import EXAMPLES, Finding, Recorder, Records, Spot
from hardneg.transforms.audit.batches import BatchCount, count_batches
from hardneg.transforms.audit.references import KnownPairs, held_out_texts, known_pairs, read_reference
from hardneg.transforms.audit.run_checks import check_run, triplets_of_run
from hardneg.transforms.audit.triplet_files import (
    ColumnNames,
    Layout,
    TripletFile,
    find_triplet_files,
    layout_of,
    run_of,
)
from hardneg.transforms.audit.triplet_reading import read_triplets, rows_at
from hardneg.transforms.audit.triplet_rows import TripletBatch
from hardneg.transforms.core.hashing import KeyMap, Keys
from hardneg.transforms.inputs.evaluation_sets import held_out_of, read_evaluation_sets
from hardneg.transforms.inputs.formats.registry import place_of
from hardneg.transforms.inputs.judgements import read_judgements
from hardneg.transforms.inputs.looking import plan_files
from hardneg.transforms.inputs.rejections import left_out
from hardneg.transforms.output.avoided import avoided_by_run
from hardneg.transforms.output.finished_run import FinishedRun

_SHOWN = 60


@dataclass(frozen=True)
class Example:
    """One occurrence of a fault: where it is, and what stands there."""

    place: str
    text: str


@dataclass(frozen=True)
class Fault:
    """A kind of fault that was found: its code, what it is in words, how often, and up to three examples."""

    kind: str
    title: str
    count: int
    examples: list[Example]


@dataclass(frozen=True)
class AuditReport:
    """What an audit looked at and what it found; ``clean`` if nothing. ``notes`` say what it compared the set with.

    ``batches`` is what was counted of batches, if that was asked: no fault, for a trainer may keep rows apart.
    """

    files: int
    rows: int
    anchors: int
    negatives: int
    faults: list[Fault]
    notes: list[str] = field(default_factory=list)
    batches: BatchCount | None = None

    @property
    def clean(self) -> bool:
        return not self.faults


def audit(paths: Sequence[str], options: AuditOptions) -> AuditReport:
    """Check a data set.

    Args:
        paths: a run of ours, a folder, files or patterns.
        options: what to compare it with.

    Raises:
        HardnegError: something given is not there or can't be read, or the set has no row.
    """
    files = find_triplet_files(paths)
    run = _run_of(files)
    known, findings, notes = _known(options, run)
    sets = read_evaluation_sets(options.holdout, options.min_relevance)
    held_out = held_out_of(sets)
    names = ColumnNames(options.anchor_column, options.positive_column, tuple(options.negative_column))
    layouts = [layout_of(file, names) for file in files]
    records = _records(files, layouts)
    if not len(records) and not records.flaws:
        raise InputError(f"{paths[0]} has no row: there is nothing to check.", path=paths[0])
    notes += [_compared(options, known, records, run)] if options.qrels else []
    notes += [note for each in sets for note in left_out(each.rejections, "holdout")]
    held_queries, held_passages = held_out_texts(held_out, records, run)
    if options.holdout:
        notes.append(_looked_for(options, held_queries, held_passages, run))
    findings += auditing.flawed_rows(records, [_place(file) for file in files])
    findings += auditing.empty_texts(records)
    findings += auditing.positives_among_negatives(records, known.known())
    findings += auditing.duplicate_negatives(records, triplets_of_run(run) if run else None)
    findings += auditing.duplicate_ids(records)
    if options.expect:
        findings += auditing.too_few_negatives(records, options.expect)
    findings += check_run(run, options.expect) if run else []
    findings += auditing.held_out(records, held_queries, held_passages)
    return AuditReport(
        files=len(files),
        rows=len(records),
        anchors=len(np.unique(records.anchor)),
        negatives=len(records.negatives.row),
        faults=_faults(findings, files, layouts, records),
        notes=notes,
        batches=_batches(options, records, known, run),
    )


def _batches(options: AuditOptions, records: Records, known: KnownPairs, run: FinishedRun | None) -> BatchCount | None:
    """Count batches, if that is asked, with all that is known to be relevant: of a run, its suspected positives too."""
    if options.batch_size is None:
        return None
    relevant = [known.by_texts(), *([avoided_by_run(run)] if run else [])]
    anchors, passages = (np.concatenate(part) for part in zip(*relevant, strict=True))
    return count_batches(records, (anchors, passages), options.batch_size)


def _looked_for(options: AuditOptions, queries: Keys, passages: Keys, run: FinishedRun | None) -> str:
    """Return how many held-out queries and passages were looked for; the key of one whose text is not known is 0.

    Raises:
        InputError: none, and it is not that the run kept them out itself.
    """
    counts = [(int((keys != 0).sum()), len(keys)) for keys in (queries, passages)]
    said = " and ".join(
        f"{known:,} of {whole:,} {kind}" for (known, whole), kind in zip(counts, ("queries", "passages"), strict=True)
    )
    kept_out = set(options.holdout) <= set(run.options.get("holdout") or ()) if run else False
    if not any(known for known, _ in counts) and not kept_out:
        raise InputError(
            f"{parameter('holdout')} {' '.join(options.holdout)}: it gives ids, and none is of this set ({said}), so "
            "nothing was looked for: check that the ids are the same, or give the evaluation set's texts, such as its "
            "BEIR folder.",
            parameter="holdout",
        )
    return f"holdout: {said} are known here, and were looked for."


def _run_of(files: Sequence[TripletFile]) -> FinishedRun | None:
    """Return the run that all files are triplets of, None for none."""
    folders = {run_of(file) for file in files}
    folder = folders.pop() if len(folders) == 1 else None
    return FinishedRun.open(folder) if folder else None


def _known(options: AuditOptions, run: FinishedRun | None) -> tuple[KnownPairs, list[Finding], list[str]]:
    """Return the positives known from elsewhere, what is wrong with their files' ids, and what of them is left out."""
    columns = {
        "id_column": options.id_column,
        "text_column": options.text_column,
        "title_column": options.title_column,
        "query_id_column": options.query_id_column,
        "anchor_column": options.query_column,
    }
    named = {option: name for option, name in columns.items() if name}
    queries: KeyMap | None = None
    passages: list[KeyMap] = []
    findings, notes = [], list[str]()
    for kind, given, option in (("queries", options.queries, "queries"), ("passages", options.corpus, "corpus")):
        if given:
            reference = read_reference(plan_files(kind, given, option, named), kind, option)
            findings.append(reference.conflicts)
            notes += reference.notes
            if kind == "queries":
                queries = reference.texts
            else:
                passages = [reference.texts, reference.bare]
    if not options.qrels:
        return KnownPairs(), findings, notes
    judged = read_judgements(plan_files("qrels", options.qrels, "qrels"), options.min_relevance)
    notes += left_out(judged.rejections, "qrels")
    if run:
        queries = queries or run.text_keys("queries")
        passages = passages or [run.text_keys("passages")]
    return known_pairs(judged, queries, passages, whole=bool(run and not options.corpus)), findings, notes


def _compared(options: AuditOptions, known: KnownPairs, records: Records, run: FinishedRun | None) -> str:
    """Return how many known pairs the set was compared with.

    Raises:
        HardnegError: with none.
    """
    given = f"{parameter('qrels')} {' '.join(options.qrels)}"
    if not len(known):
        raise InputError(
            f"{given}: it has no judgement of grade {options.min_relevance:g} or more: there is nothing to compare "
            "with."
        )
    if compared := known.compared(records):
        return f"{compared:,} of {len(known):,} known pairs are of queries of this set, and were compared with it."
    lacking = [name for name in ("queries", "corpus") if not getattr(options, name)]
    ids = records.query_id.any() and records.negatives.id.any()
    if lacking and not run and not ids:
        raise OptionError(
            f"{given}: it gives ids, and the set has none, so nothing was compared: give "
            f"{' and '.join(map(parameter, lacking))}, whose texts can be compared."
        )
    if not known.with_texts.any():
        where = "the set" if lacking else f"{parameter('queries')} and {parameter('corpus')}"
        raise InputError(
            f"{given}: 0 of {len(known):,} known pairs have their query and passage in {where}, so nothing was "
            "compared: check that the ids are the same."
        )
    raise InputError(
        f"{given}: none of its {len(known):,} known pairs is of a query of this set, so nothing was compared: check "
        "that both are of one collection."
    )


def _records(files: Sequence[TripletFile], layouts: Sequence[Layout | None]) -> Records:
    recorder = Recorder()
    for number, (file, layout) in enumerate(zip(files, layouts, strict=True)):
        for batch in read_triplets(file, layout) if layout else ():
            recorder.add(number, batch)
    return recorder.records()


def _faults(
    findings: Sequence[Finding], files: Sequence[TripletFile], layouts: Sequence[Layout | None], records: Records
) -> list[Fault]:
    """Join findings of one kind, in the order of ``FAULT_TITLES``, and look their examples up."""
    joined: dict[str, Finding] = {}
    for finding in findings:
        whole = joined.setdefault(finding.kind, Finding(finding.kind, 0))
        whole.count += finding.count
        whole.examples = (whole.examples + finding.examples)[:EXAMPLES]
    found = [joined[kind] for kind in auditing.FAULT_TITLES if kind in joined and joined[kind].count]
    spots = [spot for finding in found for spot in finding.examples if isinstance(spot, Spot)]
    shown = _look_up(spots, files, layouts, records)
    return [
        Fault(
            finding.kind,
            finding.title,
            finding.count,
            [shown[e] if isinstance(e, Spot) else _split(e) for e in finding.examples],
        )
        for finding in found
    ]


def _place(file: TripletFile) -> str:
    """Return how the place of a row begins; its number follows."""
    return place_of(file.path, file.format, "")


def _split(sentence: str) -> Example:
    place, _, text = sentence.partition(": ")
    return Example(place, _printable(text))


def _look_up(
    spots: Sequence[Spot], files: Sequence[TripletFile], layouts: Sequence[Layout | None], records: Records
) -> dict[Spot, Example]:
    """Read again the rows that are to be shown."""
    shown: dict[Spot, Example] = {}
    for number in sorted({int(records.file[spot.row]) for spot in spots}):
        file, layout = files[number], layouts[number]
        assert layout is not None  # it has rows
        own = [spot for spot in spots if records.file[spot.row] == number]
        batches: Iterator[TripletBatch] = read_triplets(file, layout)
        for batch, row in rows_at(batches, [int(records.line[spot.row]) for spot in own]):
            line = int(batch.lines[row])
            for spot in own:
                if records.line[spot.row] == line:
                    shown[spot] = Example(f"{_place(file)}{line}", _text(batch, row, spot))
    return shown


def _text(batch: TripletBatch, row: int, spot: Spot) -> str:
    """Return what stands at a spot, in a few words."""
    anchor = _shortened(batch.anchors[row].as_py())
    texts = batch.negatives if spot.part.startswith("negative") else batch.positives
    place = int(texts.starts[row]) + spot.nth
    if spot.part == "anchor":
        text = f"anchor {anchor}"
    elif spot.part in ("positive", "negative"):
        text = f"{spot.part} {_shortened(texts.values[place].as_py())} of anchor {anchor}"
    elif spot.part in ("query_id", "row_id"):
        ids = batch.query_ids if spot.part == "query_id" else batch.row_ids
        text = f"{spot.part} {ids[row].as_py() if ids is not None else None} of anchor {anchor}"
    else:
        identifier = texts.ids[place].as_py() if texts.ids is not None else None
        text = f"{spot.part} {identifier} of {_shortened(texts.values[place].as_py())}"
    return f"{text}: {spot.detail}" if spot.detail else text


def _shortened(text: str | None) -> str:
    """Return a text as a message quotes it: on one line, without what a terminal would obey."""
    plain = " ".join(_printable((text or "")[: 2 * _SHOWN]).split())
    return repr(plain if len(plain) <= _SHOWN else plain[: _SHOWN - 3] + "...") if text else "(none)"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
