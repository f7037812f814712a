"""Show that a change of the program changes no byte of what it writes.

    python -m benchmarks.output_digests NAME=RUN ... --record FILE    # before the change
    python -m benchmarks.output_digests NAME=RUN ... --compare FILE   # after it: exit code 1 where a file differs

RUN is the --output folder of a finished run, with the formats that were written into it. Of ``manifest.json`` only what
came out is compared (its options, versions and times are another run's by right), of ``judge.json`` all but the
conditions of its use, and ``report.html`` not at all, which draws the seconds of its run. Scores are promised bit for
bit on one kind of processor, so a record says which, and another kind is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

_OF_THE_RESULT = ("counts", "denoising", "models", "share_of_pairs_cut", "shards", "triplets_too_close")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file; of a manifest, of what came out."""
    data = path.read_bytes()
    if path.name == "manifest.json":
        manifest = json.loads(data)
        data = json.dumps({name: manifest[name] for name in _OF_THE_RESULT if name in manifest}).encode()
    if path.name == "judge.json":
        data = json.dumps({name: value for name, value in json.loads(data).items() if name != "conditions"}).encode()
    return hashlib.sha256(data).hexdigest()


def digests_of(run: Path) -> dict[str, Any]:
    """Return a run's processor, and the digest of each of its files by its path in the run."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != "report.html")
    return {
        "processor": manifest["processor"],
        "files": {path.relative_to(run).as_posix(): digest_of(path) for path in files},
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one line for each file that is not the same in both."""
    if before["processor"] != after["processor"]:
        return [f"nothing can be compared: {before['processor']!r} before, {after['processor']!r} now"]
    old, new = before["files"], after["files"]
    return [
        f"{path}: {'gone' if path not in new else 'new' if path not in old else 'differs'}"
        for path in sorted(old | new)
        if old.get(path) != new.get(path)
    ]


def _named(given: str) -> tuple[str, Path]:
    name, _, folder = given.partition("=")
    if not folder:
        raise argparse.ArgumentTypeError(f"{given!r} is no NAME=RUN")
    return name, Path(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=_named, metavar="NAME=RUN")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--record", type=Path, metavar="FILE")
    action.add_argument("--compare", type=Path, metavar="FILE")
    given = parser.parse_args()
    found = {name: digests_of(run) for name, run in given.runs}
    if given.record:
        given.record.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    recorded = json.loads(given.compare.read_text(encoding="utf-8"))
    failed = False
    for name, now in found.items():
        if name not in recorded:
            parser.error(f"{given.compare} has no record of {name}: it has {', '.join(recorded)}")
        lines = differences(recorded[name], now)
        failed |= bool(lines)
        print(f"{name}: {len(now['files'])} files, {'all the same' if not lines else ', '.join(lines)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
