"""A whole run in an object store, where there are no folders, no renames and no memory maps."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mined_runs import FEW_QUERIES, ONE_WORKER, Mine, TinyModels
from object_store import FILES

from hardneg.errors import HardnegError
from hardneg.pipelines.commands import driver
from hardneg.pipelines.options.mine import MineConfig


@pytest.fixture
def bucket(animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The small collection in a bucket; the worker's local copies lie in the test's own folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    FILES.clear()
    for path in animals.rglob("*"):
        if path.is_file():
            FILES[f"bucket://in/{path.relative_to(animals).as_posix()}"] = (path.read_bytes(), 1.0)
    yield "bucket://in"
    FILES.clear()


def output_of(folder: str) -> dict[str, bytes]:
    return {path.removeprefix(folder + "/"): data for path, (data, _) in FILES.items() if path.startswith(folder + "/")}


def test_a_run_in_an_object_store(bucket: str, animals: Path, tiny_models: TinyModels, mined: Mine) -> None:
    """Its shards are those of a run on disk, it leaves nothing else, and --overwrite leaves no old shard."""
    config = MineConfig(input=bucket, output="bucket://out/mined", **FEW_QUERIES, **tiny_models.options)
    FILES["bucket://out/mined/notes.txt"] = (b"mine", 1.0)
    manifest = driver.mine(config, ONE_WORKER)
    files = output_of("bucket://out/mined")
    on_disk = mined(input=str(animals), **FEW_QUERIES)
    assert on_disk.table("triplets").num_rows > 0
    assert manifest["shards"] == on_disk.manifest["shards"]
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name.endswith(".parquet")} == {
        shard["name"]: shard["sha256"] for shard in manifest["shards"]
    }
    assert json.loads(files["manifest.json"]) == manifest
    assert files["report.html"].startswith(b"<!DOCTYPE html>")
    others = {path for path in FILES if not path.startswith(("bucket://in/", "bucket://out/mined/"))}
    # The work folder is deleted but for what a second `hardneg publish` asks it.
    assert others == {"bucket://out/mined.work/published.json"}
    assert not Path("bucket:").exists(), "nothing is written to a local folder of that name"

    with pytest.raises(HardnegError, match="output bucket://out/mined: it exists"):
        driver.mine(config, ONE_WORKER)
    again = driver.mine(
        config.model_copy(update={"output_shards": 1, "overwrite": True}), ONE_WORKER, texts_travel=True
    )
    files = output_of("bucket://out/mined")
    assert {name for name in files if name.endswith(".parquet")} == {shard["name"] for shard in again["shards"]}
    assert files["notes.txt"] == b"mine"
    triplets = pq.read_table(io.BytesIO(files["triplets/part-00000-of-00001.parquet"]))
    order = [(name, "ascending") for name in triplets.column_names]
    assert triplets.sort_by(order).equals(on_disk.table("triplets").sort_by(order))


def test_a_run_that_fails_leaves_no_manifest(bucket: str, tiny_models: TinyModels) -> None:
    """What an earlier run finished is not left half overwritten under its manifest."""
    config = MineConfig(input=bucket, output="bucket://out/mined", **FEW_QUERIES, **tiny_models.options, overwrite=True)
    for name in ("manifest.json", "README.md", "report.html", "triplets/part-00000-of-00008.parquet"):
        FILES[f"bucket://out/mined/{name}"] = (b"old", 1.0)
    FILES["bucket://in/corpus.jsonl"] = (FILES["bucket://in/corpus.jsonl"][0] + b"not json\n", 2.0)
    with pytest.raises(HardnegError, match=r"corpus\.jsonl: 1 of 43 rows were rejected"):
        driver.mine(config, ONE_WORKER)
    assert not {name for name in output_of("bucket://out/mined") if not name.startswith("rejected/")}
