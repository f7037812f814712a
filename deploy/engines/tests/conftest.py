"""An engine with workers on two hosts, a collection that one of them can't see, and what a local run makes of it."""

# ruff: noqa: E402 - where our modules lie must be known before they are imported

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
for folder in (ROOT / "deploy" / "flink", ROOT / "deploy" / "engines", ROOT / "tests"):
    sys.path.insert(0, str(folder))

from engine import Engine, local_service, prism
from flink_engine import flink
from flink_parts import LackingError
from hosts import Host, may_isolate
from worker_env import make_environment

KEPT = Path(os.environ.get("HARDNEG_ENGINES", ROOT / ".venv-engines"))
ANIMALS = ("otter", "badger", "lynx", "heron", "marten", "beaver", "stork", "weasel")
PLACES = {"Norway": "trout", "Galicia": "chestnuts", "Silesia": "frogs", "Crete": "olives", "Wales": "eels"}
ENGINES = ("local-service", "prism", "flink")


@dataclass
class Done:
    """A command that ended: its code, what it told a program, and what it told a person."""

    code: int
    told: dict[str, Any]
    said: str


@dataclass
class Command:
    """hardneg as it is called on a command line, where the checkout is."""

    process: subprocess.Popen

    @classmethod
    def start(cls, arguments: Sequence[str], beam: Sequence[str]) -> Command:
        """Start it."""
        command = [sys.executable, "-m", "hardneg.pipelines.cli", *arguments, "--json", "--", *beam]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        return cls(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))

    def end(self, seconds: float = 3000.0) -> Done:
        """Wait for its end."""
        out, said = self.process.communicate(timeout=seconds)
        return Done(self.process.returncode, json.loads(out.splitlines()[-1]), said)


def run(arguments: Sequence[str], beam: Sequence[str] = ("--runner=FnApiRunner",)) -> Done:
    """Run hardneg to its end."""
    return Command.start(arguments, beam).end()


def awaited(happened: Callable[[], bool], seconds: float = 300.0) -> bool:
    """Return whether something happens in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.05)
    return False


def output_hashes(output: Path) -> dict[str, str]:
    """Return the digest of every table of an output, as its manifest lists it."""
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    return {shard["name"]: shard["sha256"] for shard in manifest["shards"]}


@dataclass
class Collection:
    """What is mined, and how: options of `hardneg mine` and `refresh` but for where it goes."""

    folder: Path
    models: Sequence[str]
    options: str

    @property
    def arguments(self) -> list[str]:
        given = (("--corpus", "corpus-*.jsonl"), ("--queries", "queries.jsonl"), ("--qrels", "qrels.tsv"))
        named = [part for option, name in given for part in (option, str(self.folder / name))]
        return ["--config", str(self.folder / "options.toml"), *named, *self.models]

    def mine(self, output: Path, *more: str) -> list[str]:
        return ["mine", *self.arguments, "--output", str(output), *more]

    def write(self) -> Collection:
        """Write a small one, in several files, so that every worker may be asked to read one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "options.toml").write_text(self.options, encoding="utf-8")
        rows = [(f"{animal}-{place}", animal, place) for animal in ANIMALS for place in PLACES]
        for number in range(3):
            lines = [
                json.dumps({"id": name, "text": f"In {place} the {animal} lives near water and eats {PLACES[place]}."})
                for name, animal, place in rows[number::3]
            ]
            (self.folder / f"corpus-{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        asked = [(name, f"What does the {animal} eat in {place}?") for name, animal, place in rows[::4]]
        queries = "".join(json.dumps({"id": f"q-{name}", "text": text}) + "\n" for name, text in asked)
        (self.folder / "queries.jsonl").write_text(queries, encoding="utf-8")
        qrels = "".join(f"q-{name}\t{name}\t1\n" for name, _ in asked)
        (self.folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels, encoding="utf-8")
        return self


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two tiny models, as options."""
    from tiny_models import save_spread, save_tiny_sentence_transformer

    folder = tmp_path_factory.mktemp("models")
    bi, cross = save_tiny_sentence_transformer(folder / "bi"), save_spread(folder / "cross")
    return ["--bi-encoder", str(bi), "--cross-encoder", str(cross)]


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory, models: list[str]) -> Collection:
    """A small collection, cut into enough segments and blocks that every worker has some."""
    options = "k = 8\nnegatives = 2\nsegments = 4\nblock-size = 2\noutput-shards = 2\n"
    return Collection(tmp_path_factory.mktemp("corpus"), models, options).write()


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory, collection: Collection) -> dict[str, str]:
    """The digests of a local run's tables."""
    output = tmp_path_factory.mktemp("local") / "out"
    done = run(collection.mine(output))
    assert done.code == 0, done.said
    return output_hashes(output)


@pytest.fixture(scope="session")
def worker_python() -> Path:
    """The Python of the workers' environment: our built wheel and no checkout."""
    return make_environment(KEPT / "worker")


@pytest.fixture(scope="module", params=ENGINES)
def engine(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    collection: Collection,
    worker_python: Path,
) -> Iterator[Engine]:
    """A running engine whose second host can't see the collection."""
    folder = tmp_path_factory.mktemp(request.param)
    apart = may_isolate()
    hosts = [
        Host("first", folder, worker_python, (), apart),
        Host("second", folder, worker_python, [collection.folder], apart),
    ]
    started = _made(request.param, folder, hosts)
    try:
        started.start()
        yield started
    finally:
        started.stop()


def _made(name: str, folder: Path, hosts: list[Host]) -> Engine:
    if name == "local-service":
        return local_service(folder, hosts)
    if name == "flink":
        try:
            return flink(folder, hosts, KEPT)
        except LackingError as lacking:
            pytest.skip(str(lacking))
    if not (KEPT / "prism").exists():
        pytest.skip("no Prism here: make prism builds it, with Go, in some minutes")
    # One worker whatever there is; so that it is the one that can't see the collection.
    return prism(folder, hosts[1:], KEPT / "prism")


def kill(process: subprocess.Popen) -> None:
    """End a command at once."""
    process.send_signal(signal.SIGKILL)
    process.wait()
