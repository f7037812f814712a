"""What is wrong with a set of training data, ours or another tool"s: its rows as keys, and each kind of fault."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["auditing"],
    submod_attrs={
        "auditing": ["EXAMPLES", "FAULT_TITLES", "Finding", "Known", "Recorder", "Records", "Spot"],
        "batches": ["BatchCount", "count_batches"],
        "references": ["KnownPairs", "Reference", "held_out_texts", "known_pairs", "read_reference"],
        "run_checks": ["check_run", "triplets_of_run"],
        "triplet_files": ["ColumnNames", "Layout", "TripletFile", "find_triplet_files", "layout_of", "run_of"],
        "triplet_reading": ["read_triplets", "rows_at"],
        "triplet_rows": ["TripletBatch"],
    },
)
