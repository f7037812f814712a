"""A store on an S3-compatible server: its lock, a refresh, LATEST."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mined_runs import ONE_WORKER, Mine, TinyModels
from refreshed import OPTIONS, Collection

from hardneg.errors import LockedError

obstore = pytest.importorskip("obstore")
boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Return the address of a bucket on a server of this machine."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    given = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "no_proxy": "127.0.0.1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield "s3://bucket"
    server.stop()


def holder(store: str, **fields: Any) -> None:
    told = {"host": "elsewhere", "process": 7, "since": 0.0, "until": time.time() + 600, "token": "other"}
    body = json.dumps(told | fields).encode()
    boto3.client("s3").put_object(Bucket="bucket", Key=f"{store.removeprefix('s3://bucket/')}/lock", Body=body)


def test_the_lock_is_put_on_a_condition(bucket: str) -> None:
    from hardneg.pipelines.runs.lock import holding

    store, said = f"{bucket}/locked", list[str]()
    with holding(store, said.append) as held:
        held.check()
        held.renew()
        held.check()
        with pytest.raises(LockedError, match=rf"process {os.getpid()} on"), holding(store):
            pass
    with holding(store):
        pass
    holder(store)
    with pytest.raises(LockedError, match=r"process 7 on elsewhere, .*delete s3://bucket/locked/lock"), holding(store):
        pass
    holder(store, until=time.time() - 1)
    with holding(store, said.append) as held:
        assert "has not renewed it since: this process takes over." in said[0]
        holder(store)
        held.renew()
        with pytest.raises(LockedError, match="another process took over"):
            held.check()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_refresh_and_its_snapshots(bucket: str, tiny_models: TinyModels, mine: Mine, tmp_path: Path) -> None:
    from hardneg.pipelines.commands.publish import publish
    from hardneg.pipelines.commands.refresh import refresh, roll_back
    from hardneg.pipelines.options.refresh import RefreshOptions

    store, collection = f"{bucket}/store", Collection(3)
    client = boto3.client("s3")

    def nightly(date: str, **asked: Any) -> Any:
        told = tiny_models.options | OPTIONS | {"input": str(collection.write(tmp_path / date))}
        gate = ["max-drift=off", "max-drop=off", *asked.pop("gate", [])]
        return refresh(RefreshOptions(store=store, date=date, gate=gate, **asked), told, ONE_WORKER)

    def read(key: str) -> bytes:
        return client.get_object(Bucket="bucket", Key=f"store/{key}")["Body"].read()

    def keys(prefix: str) -> list[str]:
        found = client.list_objects_v2(Bucket="bucket", Prefix=f"store/{prefix}").get("Contents", [])
        return [each["Key"].removeprefix("store/") for each in found]

    nightly("2026-11-01")
    assert json.loads(read("LATEST"))["snapshot"] == "2026-11-01"
    fresh = mine("fresh", **OPTIONS, input=str(tmp_path / "2026-11-01"))
    for path in (fresh.folder / "triplets").iterdir():
        assert read(f"snapshots/2026-11-01/triplets/{path.name}") == path.read_bytes()
    assert keys("work") == ["work/published.json"]
    assert keys("lock") == []
    assert publish(f"{store}/work").again
    collection.change()
    refused = nightly("2026-11-02", gate=["min-rows=1000000"])
    assert refused.refused
    assert json.loads(read("LATEST"))["snapshot"] == "2026-11-01"
    assert "refused/2026-11-02/gates.json" in keys("refused")
    assert keys("snapshots/2026-11-02") == []
    nightly("2026-11-03")
    assert json.loads(read("LATEST"))["snapshot"] == "2026-11-03"
    assert roll_back(store) == ("2026-11-03", "2026-11-01")
