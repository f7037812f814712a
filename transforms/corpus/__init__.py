"""Corpus and queries on their way in: into segments and blocks, and what must hold before a model runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["found"],  # what is found in a run that is read back, too
    submod_attrs={
        "found_stage": ["FindHeldOut", "FindRun"],
        "ingestion": ["sample_passages", "SegmentInfo"],
        "ingestion_stage": ["BuildSegments", "CheckRejected", "ReadInputs", "ResolveQrels"],
        "preflight": ["check_corpus", "check_queries", "count_segments"],
        "preflight_stage": ["CheckModels"],
        "query_blocks": ["share_positives"],
        "query_blocks_stage": ["CutBlocks", "DropHeldOut", "JoinQueries", "SmallestDigests"],
        "segments": ["TEXTS", "folder", "open_segment", "Segment", "write_table"],
        "texts": ["needed_rows", "read_referred", "texts_from_segments", "texts_from_table"],
        "texts_stage": ["HydrateCandidates"],
        "working_copies": ["WorkingCopy"],
    },
)
