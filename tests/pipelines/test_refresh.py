"""A store from night to night: the same triplets as from nothing, published only if sound, whatever is cut off."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from mined_runs import ONE_WORKER, Mine, TinyModels
from refreshed import OPTIONS, Collection, digests, refresh_in_child

from hardneg.errors import NotEndedError, OptionError
from hardneg.pipelines.commands.publish import publish
from hardneg.pipelines.commands.refresh import Refreshed, refresh, roll_back
from hardneg.pipelines.options.refresh import RefreshOptions
from hardneg.transforms.output.finished_run import FinishedRun

Refresh = Callable[..., Refreshed]


@pytest.fixture
def nightly(tmp_path: Path, tiny_models: TinyModels) -> Refresh:
    """Return a function that refreshes the test's store from a collection."""

    def run(collection: Path, options: dict[str, Any] | None = None, **asked: Any) -> Refreshed:
        told = tiny_models.options | OPTIONS | {"input": str(collection)} | (options or {})
        return refresh(RefreshOptions(store=str(tmp_path / "store"), **asked), told, ONE_WORKER)

    return run


def named(store: Path) -> str:
    return json.loads((store / "LATEST").read_text())["snapshot"]


def changed_by(seed: int, nights: int, folder: Path) -> list[Path]:
    """Return a collection as it is in some nights, the first as it begins."""
    collection, found = Collection(seed), []
    for night in range(nights):
        if night:
            collection.change()
        found.append(collection.write(folder / f"night-{night}"))
    return found


@pytest.mark.parametrize(("seed", "last"), [(0, 2), *(pytest.param(n, 3, marks=pytest.mark.slow) for n in range(3))])
def test_a_refresh_gives_what_mining_from_nothing_gives(
    seed: int, last: int, nightly: Refresh, mine: Mine, tmp_path: Path
) -> None:
    """Over additions, edits and deletions of passages, queries and judgements, by one judge; then with a new one."""
    store = tmp_path / "store"
    nights = changed_by(seed, last, tmp_path)
    judge = None
    for number, night in enumerate(nights):
        done = nightly(night, date=f"2026-11-{number + 1:02}", gate=["max-drift=off", "max-drop=off"])
        assert (done.refused, named(store)) == ([], done.date)
        options = OPTIONS | {"input": str(night)} | ({"judge_file": judge} if judge else {})
        fresh = mine(f"fresh-{number}", **options)
        snapshot = Path(done.folder)
        for kind in ("triplets", "candidates", "queries", "passages"):
            for path in sorted((fresh.folder / kind).iterdir()):
                assert (snapshot / kind / path.name).read_bytes() == path.read_bytes(), (number, kind)
        assert (snapshot / "judge.json").read_bytes() == (fresh.folder / "judge.json").read_bytes()
        assert (snapshot / "report.html").exists()
        judge = judge or str(snapshot / "judge.json")
    diff = json.loads((store / "snapshots" / f"2026-11-0{last}" / "diff.json").read_text())
    rows = [FinishedRun.open(str(store / "snapshots" / f"2026-11-0{n}")).manifest["shards"] for n in (last - 1, last)]
    counted = [sum(shard["rows"] for shard in shards if shard["name"].startswith("triplets/")) for shards in rows]
    assert [diff["triplets"]["before"], diff["triplets"]["now"]] == counted == diff["figures"]["triplets"]
    assert diff["changed"] == ["the inputs"]


def test_the_life_of_a_store(nightly: Refresh, tiny_models: TinyModels, tmp_path: Path) -> None:
    """Nothing changed, gates, rollback, marks, another model, keep: one after the other, for each costs a run."""
    store = tmp_path / "store"
    first, second, third = changed_by(7, 3, tmp_path)
    with pytest.raises(OptionError, match="has no snapshot: there is nothing to go back to"):
        roll_back(str(store))
    nightly(first, date="2026-11-01")
    latest = (store / "LATEST").read_bytes()

    # Nothing changed, though the files lie elsewhere; nothing is mined.
    moved = shutil.copytree(first, tmp_path / "moved")
    again = nightly(moved, date="2026-11-02")
    assert (again.changed, again.date) == ([], "2026-11-01")
    assert (store / "LATEST").read_bytes() == latest

    # A gate that fails: LATEST stays, the snapshot is kept, and the figures are told.
    refused = nightly(second, date="2026-11-02", gate=["min-rows=1000000"])
    assert len(refused.refused) == 1
    assert refused.refused[0].endswith("triplets, at least 1,000,000")
    assert (store / "LATEST").read_bytes() == latest
    kept = store / "refused" / "2026-11-02"
    gates = {gate["name"]: gate["passed"] for gate in json.loads((kept / "gates.json").read_text())}
    assert gates == {"min-rows": False, "max-drop": True, "max-drift": True, "audit": True}
    assert not (store / "snapshots" / "2026-11-02").exists()

    # What a person marked as relevant is no negative any more, now and later; what is not relevant counts as judged.
    table = pa.concat_tables(FinishedRun.open(str(store / "snapshots" / "2026-11-01")).tables("candidates"))
    mined = table.filter(pc.is_valid(table["selected"])).select(["query_id", "passage_id"]).to_pylist()[:2]
    marks = tmp_path / "marks.jsonl"
    marks.write_text("".join(json.dumps(pair | {"relevant": n == 0}) + "\n" for n, pair in enumerate(mined)))
    marked = nightly(first, {"marks": [str(marks)]}, date="2026-11-03", gate=["max-drift=off"])
    assert marked.changed == ["marks"]
    marks.unlink()
    later = nightly(first, {"negatives": 3, "judge_file": None}, date="2026-11-03", recalibrate=True)
    assert later.date.startswith("2026-11-03T"), "the date was taken"
    for done in (marked, later):
        rows = pa.concat_tables(FinishedRun.open(done.folder).tables("candidates")).to_pylist()
        pairs = {(row["query_id"], row["passage_id"]): row for row in rows}
        relevant, other = (pairs[pair["query_id"], pair["passage_id"]] for pair in mined)
        assert (relevant["verdict"], relevant["reason"]) == ("dropped", "marked_relevant")
        assert other["grade"] == 0
        assert (Path(done.folder) / "marks.jsonl").exists()

    # Another model: the judge was calibrated with the one before.
    model = shutil.copytree(tiny_models.bi_encoder, tmp_path / "student")
    config = json.loads((model / "config.json").read_text()) | {"note": "retrained"}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(OptionError, match=r"The model dense is another than the judge .* pass recalibrate"):
        nightly(first, {"bi_encoder": [str(model)], "negatives": 3}, date="2026-11-04")

    # Back, and of the older ones only the newest are kept.
    assert roll_back(str(store)) == (later.date, "2026-11-03")
    assert named(store) == "2026-11-03"
    with pytest.raises(OptionError, match="has no snapshot 2020-01-01; it has 2026-11-01, 2026-11-03"):
        roll_back(str(store), "2020-01-01")
    last = nightly(third, date="2026-11-05", keep=1, gate=["max-drift=off", "max-drop=off"])
    assert named(store) == last.date == "2026-11-05"
    assert [path.name for path in (store / "snapshots").iterdir()] == ["2026-11-05"]

    # Published twice; and from a folder without a run.
    done = publish(str(store / "work"))
    assert (done.again, done.date, done.folder) == (True, "2026-11-05", last.folder)
    with pytest.raises(NotEndedError, match=r"has no plan\.json, so there is no run to publish"):
        publish(str(tmp_path / "nothing"))


def kill_at_moments(moments: int, seed: int, tiny_models: TinyModels, tmp_path: Path) -> None:
    """Refresh an undisturbed store; then others, each killed at a moment, and refreshed by the same command again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hardneg.pipelines.commands.driver", "refreshed", "scipy.stats"])
    first, second = changed_by(11, 2, tmp_path)
    options = tiny_models.options | OPTIONS
    before = tmp_path / "before"
    refresh_in_child(str(before), options | {"input": str(first)}, "2026-11-01")
    asked = options | {"input": str(second)}

    def start(store: Path) -> Any:
        child = context.Process(target=refresh_in_child, args=(str(store), asked, "2026-11-02"))
        child.start()
        return child

    warm = context.Process(target=time.sleep, args=(0,))  # the libraries are loaded before anything is timed
    warm.start()
    warm.join()
    undisturbed = shutil.copytree(before, tmp_path / "undisturbed")
    began = time.monotonic()
    child = start(undisturbed)
    child.join()
    seconds = time.monotonic() - began
    assert child.exitcode == 0
    expected = digests(undisturbed / "snapshots" / "2026-11-02")
    draw = random.Random(seed)
    killed = 0
    for moment in range(moments):
        store = shutil.copytree(before, tmp_path / f"store-{moment}")
        child = start(store)
        child.join(seconds * (moment + draw.random()) / moments)
        killed += child.is_alive()
        child.kill()
        child.join()
        latest = named(store)
        assert (store / "snapshots" / latest / "manifest.json").exists(), "LATEST never names what is not whole"
        if latest == "2026-11-02":
            assert digests(store / "snapshots" / latest) == expected
        child = start(store)
        child.join()
        assert child.exitcode == 0
        assert named(store) == "2026-11-02"
        assert digests(store / "snapshots" / "2026-11-02") == expected, moment
        assert [path.name for path in (store / "work").iterdir()] == ["published.json"]
        shutil.rmtree(store)
    assert killed


@pytest.mark.parametrize("moments", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_changes_nothing(moments: int, tiny_models: TinyModels, tmp_path: Path) -> None:
    kill_at_moments(moments, 7, tiny_models, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_kill_at_25_moments_changes_nothing(tiny_models: TinyModels, tmp_path: Path) -> None:
    kill_at_moments(25, 1, tiny_models, tmp_path)
