"""`hardneg publish WORK`: a run whose pipeline has ended becomes an output that others may read. Prints nothing.

``mine`` and ``refresh`` end with this very code. Every step may be done again: whatever was cut off, the same command
goes on, and what it gives has the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hardneg.errors import HardnegError, NotEndedError, RunError, parameter
from hardneg.pipelines.commands.export import export
from hardneg.pipelines.commands.gates import GATES, check_gates
from hardneg.pipelines.options.finished import REPORT_DEFAULTS, ExportOptions
from hardneg.pipelines.options.gates import GateOptions
from hardneg.pipelines.report.difference import side_of
from hardneg.pipelines.report.html import write_report
from hardneg.pipelines.report.report import report
from hardneg.pipelines.runs.lock import holding
from hardneg.pipelines.runs.output_place import explaining_full_disks, refuse_existing
from hardneg.pipelines.runs.plan import place_of
from hardneg.pipelines.runs.publishing import Publication, holds, lacking, left_of, put, read_summary, write_about
from hardneg.pipelines.runs.state import judge_digest
from hardneg.pipelines.runs.work_folder import PLAN, SUMMARY, held, release
from hardneg.transforms.core import storage
from hardneg.transforms.export.registry import format_named
from hardneg.transforms.inputs.marks import MARKS
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.manifest import JUDGE, MANIFEST
from hardneg.transforms.output.snapshots import point_at, prune, refused_folder, snapshot_folder
from hardneg.transforms.reports.run_difference import DIFFERENCE, difference
from hardneg.transforms.store.uses import end_use


@dataclass(frozen=True)
class Published:
    """What became of a run.

    Attributes:
        folder: where it lies.
        manifest: its manifest.
        date: the snapshot's; None: it is none.
        refused: the sentences of the gates that it did not pass; LATEST does not name it then.
        notes: what could not be made of a snapshot that is published all the same: its page.
        again: whether it was published before, so that nothing was left to do.
    """

    folder: str
    manifest: dict[str, Any]
    date: str | None = None
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    again: bool = False


Check = Callable[[], None]


def nothing_to_check() -> None:
    """Check nothing: who runs for itself holds no store."""


def publish(work: str, say: Callable[[str], object] = lambda line: None) -> Published:
    """Publish what a work folder holds; done again, it changes nothing.

    Args:
        work: the folder.
        say: is told of a lock that is taken over.

    Raises:
        NotEndedError: its pipeline has not ended, or something is missing.
        HardnegError: another process works there, or the output can't be written.
    """
    if (done := _published_before(work)) is not None:
        return done
    asked = Publication.read(work)
    if not asked.snapshot:
        with explaining_full_disks(), held(asked.output, work):
            return publish_run(work)
    with explaining_full_disks(), holding(asked.snapshot["store"], say) as lock, held(asked.output, work):
        return publish_run(work, still_ours=lock.check)


def _published_before(work: str) -> Published | None:
    """Return what was published from a work folder that holds no run any more."""
    if storage.exists(storage.join(work, PLAN)):
        return None
    left = left_of(work)
    output = left["folder"] if left else work.rstrip("/").removesuffix(".work")
    if output != work and storage.exists(path := storage.join(output, MANIFEST)):
        told = left or {"date": None, "refused": []}
        return Published(output, json.loads(storage.read_file(path)), told["date"], told["refused"], again=True)
    return None


def publish_run(work: str, page: bool = True, still_ours: Check = nothing_to_check) -> Published:
    """Publish the run of a work folder that this process holds.

    Args:
        work: the folder.
        page: whether its page and further formats are made, too.
        still_ours: raises LockedError where another process has taken over the store.

    Raises:
        NotEndedError: the pipeline has not ended, or a table is missing.
        RunError: the output is there, but its page or a format could not be made; or gates can't be checked.
    """
    asked = Publication.read(work)
    summary = read_summary(work)
    if summary is None:
        raise NotEndedError(
            f"{work} has no {SUMMARY}: the pipeline has not ended, or did not end well; wait for it, or start the "
            "same command again.",
            path=work,
        )
    if asked.snapshot:
        return _publish_snapshot(work, asked, summary, still_ours)
    output = asked.output
    if output == asked.result or not holds(output, summary):
        refuse_lacking(work, asked, summary)
        if output != asked.result:
            refuse_existing(output, asked.options["overwrite"])
        write_about(work, asked, summary, {})
        put(asked.result, output)
    failed = make_further(output, asked.options["format"]) if page else []
    end_use(place_of(asked.options.get("store"), output, work))
    release(work, None if storage.is_local(work) else {"folder": output, "date": None, "refused": []})
    if failed:
        raise RunError(" ".join(failed))
    return Published(output, _manifest(output))


def _publish_snapshot(work: str, asked: Publication, summary: dict[str, Any], still_ours: Check) -> Published:
    store, date = asked.snapshot["store"], asked.snapshot["date"]
    passed, refused = snapshot_folder(store, date), refused_folder(store, date)
    placed = next((folder for folder in (passed, refused) if holds(folder, summary)), None)
    if placed is None:
        refuse_lacking(work, asked, summary)
        placed = passed if _complete(work, asked, summary) else refused
        still_ours()
        put(asked.result, placed, keep=False)
    failed = [gate["sentence"] for gate in _read(storage.join(placed, GATES)) if not gate["passed"]]
    said = make_further(placed, asked.options["format"])
    if not failed:
        if said and any(not storage.exists(storage.join(placed, form, MANIFEST)) for form in asked.options["format"]):
            raise RunError(" ".join(said))
        still_ours()
        point_at(store, date)
        prune(store, asked.snapshot["keep"])
    end_use(place_of(store, asked.output, work))
    release(work, {"folder": placed, "date": date, "refused": failed})
    return Published(placed, _manifest(placed), date, failed, said)


def _complete(work: str, asked: Publication, summary: dict[str, Any]) -> bool:
    """Write all that stands beside a snapshot's tables; return whether it passes its gates."""
    told = asked.snapshot
    state = asked.state | {"judge": judge_digest(json.dumps(summary["judge"]).encode())}
    about = {name: told[name] for name in ("date", "before", "changed", "judged")}
    for path in asked.options["marks"]:
        storage.copy_file(path, storage.join(asked.result, MARKS))
    write_about(work, _as_published(asked), summary, {**about, "state": state})
    before = told["before"] and side_of(
        FinishedRun.open(snapshot_folder(told["store"], told["before"])), told["before"]
    )
    now = side_of(FinishedRun.open(asked.result), told["date"])
    diff = difference(before or None, now) | {"changed": told["changed"]}
    gates = check_gates(GateOptions(**told["gates"]), diff, asked.result, asked.options["holdout"])
    _write(storage.join(asked.result, DIFFERENCE), diff)
    _write(storage.join(asked.result, GATES), [asdict(gate) for gate in gates])
    return all(gate.passed for gate in gates)


def _as_published(asked: Publication) -> Publication:
    """Return what the manifest is to say: its files are the snapshot's own, which stay as long as it does."""
    options = dict(asked.options)
    if options["judge_file"]:
        options["judge_file"] = storage.join(asked.output, JUDGE)
    options["marks"] = [storage.join(asked.output, MARKS)] if options["marks"] else []
    return replace(asked, options=options)


def _write(path: str, told: Any) -> None:
    data = (json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    storage.write_file(path, lambda sink: sink.write(data))


def _read(path: str) -> Any:
    return json.loads(storage.read_file(path))


def refuse_lacking(work: str, asked: Publication, summary: dict[str, Any]) -> None:
    """Raise NotEndedError where a table's shard is not there."""
    if lost := list(lacking(asked.result, summary)):
        raise NotEndedError(
            f"{work} lacks {len(lost):,} of its {len(summary['shards']):,} shards ({lost[0]} for one): start the same "
            "command again.",
            path=work,
        )


def _manifest(folder: str) -> dict[str, Any]:
    return json.loads(storage.read_file(storage.join(folder, MANIFEST)))


def make_further(output: str, formats: list[str]) -> list[str]:
    """Make the formats and the page of a published output; return what is to be said of those that failed."""
    failed = []
    for form in dict.fromkeys(formats):
        try:
            _export(output, form)
        except HardnegError as error:
            failed.append(f"The run in {output} is finished, but was not exported as {form}: {error.told(parameter)}")
            break
    try:
        write_report(report(output, REPORT_DEFAULTS))
    except (HardnegError, OSError) as error:
        why = error.told(parameter) if isinstance(error, HardnegError) else str(error)
        failed.append(
            f"The run in {output} is finished, but its report.html was not written: {why.removesuffix('.')}; "
            f"`hardneg report {output}` makes it again."
        )
    return failed


def _export(output: str, form: str) -> None:
    """Write a format into the output, as ``hardneg export`` does, unless it is there."""
    folder = storage.join(output, form)
    if storage.exists(storage.join(folder, MANIFEST)):
        return
    short = {"short": "smaller"} if format_named(form).fixed else {}
    export(output, ExportOptions.model_validate({"format": form, "output": folder, **short}))
