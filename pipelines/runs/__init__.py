"""One run from its plan to its published output: the runner, the folder that it works in, and where its output goes."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "lock": ["Held", "holding"],
        "marked": ["read_all_marks"],
        "output_place": ["explaining_full_disks", "put_in_place", "refuse_existing", "replaced_by"],
        "plan": ["Plan", "read_judge"],
        "publishing": [
            "Publication",
            "clear",
            "ended_before",
            "holds",
            "lacking",
            "put",
            "read_summary",
            "write_about",
        ],
        "runner": ["pipeline_options", "run_graph", "worker_threads"],
        "state": ["JUDGE_CHANGED", "State", "differences", "judge_digest", "state_of"],
        "work_folder": ["ESTIMATE", "PLAN", "PUBLISHED", "SUMMARY", "held", "notes", "release", "working"],
    },
)
