"""The one line that ``--json`` adds at the end of every command, for schedulers: what happened, figures, paths."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from hardneg.errors import HardnegError, parameter
from hardneg.pipelines.options.exit_codes import OUTCOMES

FLAG = "--json"
# Commands that take a file after it, too.
_WITH_FILE = ("evaluate", "report")


def without_flag(argv: list[str]) -> tuple[list[str], bool]:
    """Return the arguments without the flag, and whether it was there.

    ``evaluate`` and ``report`` write all they found into the file that follows it; there it stays.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    for place, each in enumerate(argv[:end]):
        if each == FLAG:
            following = argv[place + 1 : place + 2] if place + 1 < end else []
            if argv[0] in _WITH_FILE and following and not following[0].startswith("-"):
                continue
            return [*argv[:place], *argv[place + 1 :]], True
    return argv, False


def json_line(command: str, code: int, told: Mapping[str, Any], error: BaseException | None = None) -> str:
    """Return the line.

    Args:
        command: what was asked.
        code: the exit code.
        told: what there is to say: figures, paths.
        error: what went wrong, if something did; one that is not ours is a bug.
    """
    line: dict[str, Any] = {"command": command, "exit": code, "outcome": OUTCOMES.get(code, "failed"), **told}
    if isinstance(error, HardnegError):
        line["error"] = {"code": error.code, "message": error.told(parameter), **_plain(error.fields)}
    elif error is not None:
        line["error"] = {"code": "bug", "message": f"{type(error).__name__}: {error}"}
    return json.dumps(_finite(line), ensure_ascii=False, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    """Return a value as JSON takes it: what is no number is null."""
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error's fields under names that its message does not have."""
    return {"fields": dict(fields)} if fields else {}


def of_run(folder: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to say of a run: its figures and its paths."""
    counts = manifest["counts"]
    rows = sum(shard["rows"] for shard in manifest["shards"] if shard["name"].startswith("triplets/"))
    base = folder.rstrip("/")
    return {
        "figures": {
            "triplets": rows,
            **{name: counts.get(name, 0) for name in ("queries", "mined", "pairs_scored", "queries_short")},
            "status": manifest["denoising"].get("status"),
            "false_negative_rate_at_most": manifest["denoising"].get("upper_bound"),
            "seconds": manifest["wall_seconds"],
        },
        "paths": {"output": folder, "manifest": f"{base}/manifest.json", "report": f"{base}/report.html"},
    }
