"""What a run leaves: its shards in their order, its manifest and card, and a finished run read back."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "avoided": ["avoided_by_run", "is_avoided"],
        "finished_run": ["RUN_TABLES", "FinishedRun"],
        "layout": [
            *("CLASH_KEYS", "FEW_ROWS", "TRIPLETS", "TRIPLET_KEYS", "cut_evenly"),
            *("ReadBefore", "reading_order", "shard_end", "shards_of_rows"),
        ],
        "manifest": [
            *("CARD", "JUDGE", "MANIFEST", "describe_inputs", "file_fingerprint", "library_versions"),
            *("make_manifest", "processor", "write_card", "write_manifest"),
        ],
        "pairing": ["every_pair", "first_of_each_text", "all_of_query", "side_by_side"],
        "reread": ["stored_block", "stored_queries"],
        "reread_stage": ["ReadStoredRun"],
        "run_segments": ["place_candidates", "store_segment", "store_segments"],
        "run_tables": ["columns_of", "read_batches", "read_shard"],
        "shards": ["ROW_GROUP", "Shard", "parquet_bytes", "shard_name", "write_bytes", "write_shard"],
        "snapshots": [
            *("LATEST", "REFUSED", "SNAPSHOTS", "earlier_snapshot", "free_date", "is_date", "latest_snapshot"),
            *("point_at", "prune", "refused_folder", "snapshot_dates", "snapshot_folder"),
        ],
        "write_stage": ["WriteShards"],
    },
)
