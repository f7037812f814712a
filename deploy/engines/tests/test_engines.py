"""The same bytes from every engine, one sentence for every mistake, and kills that cost nothing but time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Collection, Command, awaited, output_hashes, run
from engine import Engine

# Each starts hardneg and its workers' processes anew: a minute of a core.
pytestmark = pytest.mark.timeout(1800)


def test_workers_have_the_wheel_alone(engine: Engine) -> None:
    for host in engine.hosts:
        found = host.run("import hardneg; print(hardneg.__file__)")
        assert str(host.python.parents[1]) in found
        assert "site-packages" in found


def test_the_second_host_sees_no_corpus(engine: Engine, collection: Collection) -> None:
    if not engine.hosts[-1].isolated:
        pytest.skip("hosts can't have namespaces of their own here: that takes root on Linux")
    seen = engine.hosts[-1].run(f"import os; print(os.listdir({str(collection.folder)!r}))")
    assert seen.strip() == "[]"
    assert len(list(collection.folder.iterdir())) == 6


def test_the_bytes_are_those_of_a_local_run(
    engine: Engine, collection: Collection, local: dict[str, str], tmp_path: Path
) -> None:
    """And every host had its part of the work."""
    done = run(collection.mine(tmp_path / "out"), engine.options)
    assert done.code == 0, done.said
    assert output_hashes(tmp_path / "out") == local
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    for host in engine.hosts:
        assert "Starting worker" in host.log.read_text(encoding="utf-8"), host.name


def test_a_mistake_is_one_sentence(engine: Engine, collection: Collection, tmp_path: Path) -> None:
    """It is found by a worker, on whichever host, and comes back through the job server."""
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}\n', encoding="utf-8")
    arguments = collection.mine(tmp_path / "out")
    arguments[arguments.index("--corpus") + 1] = str(twice)
    done = run(arguments, engine.options)
    assert (done.code, done.told["error"]["code"]) == (2, "input"), done.said
    sentence = f"passage id 'a' stands twice with different texts: {twice}:1 and {twice}:2; give each its own id."
    assert done.told["error"]["message"] == sentence
    assert done.said.splitlines()[-1] == f"hardneg: {sentence}"
    assert "Traceback" not in done.said


def test_a_host_that_dies_in_the_middle(
    engine: Engine, collection: Collection, local: dict[str, str], tmp_path: Path
) -> None:
    """The run recovers or ends with a sentence; the same command finishes it from the store, with the same bytes."""
    output, store = tmp_path / "out", tmp_path / "store"
    arguments = collection.mine(output, "--store", str(store))
    command = Command.start(arguments, engine.options)
    assert awaited(lambda: any(store.glob("values/embeddings/*/*.parquet")))
    victim = engine.hosts[-1]
    victim.kill()
    done = command.end()
    victim.start()
    if done.code != 0:
        assert (done.code, done.told["error"]["code"]) == (2, "service"), done.said
        assert done.said.splitlines()[-1].startswith("hardneg: The job server at localhost:")
        assert done.said.splitlines()[-1].endswith("start the same command again, and it goes on from its store.")
        assert "Traceback" not in done.said
        assert not output.exists()
        done = run(arguments, engine.options)
        assert done.code == 0, done.said
        counts = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["counts"]
        assert counts["passages_encoded_before"] > 0
    assert output_hashes(output) == local


def test_a_job_server_that_dies_in_the_middle(
    engine: Engine, collection: Collection, local: dict[str, str], tmp_path: Path
) -> None:
    output, store = tmp_path / "out", tmp_path / "store"
    arguments = collection.mine(output, "--store", str(store))
    command = Command.start(arguments, engine.options)
    assert awaited(lambda: any(store.glob("values/embeddings/*/*.parquet")))
    engine.stop()
    done = command.end()
    assert (done.code, done.told["error"]["code"]) == (2, "service"), done.said
    assert "Traceback" not in done.said
    assert not output.exists()
    engine.start()
    done = run(arguments, engine.options)
    assert done.code == 0, done.said
    assert output_hashes(output) == local
