"""What there is to say of a finished run: counted, estimated at other thresholds, measured by judgements."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["funnel", "highlights"],
    submod_attrs={
        "evaluation": ["CANDIDATE_COLUMNS", "Figure", "QuerySums", "Relevance", "figures", "sum_queries"],
        "funnel": ["PairKind", "Step"],
        "highlights": ["OVERLAP_GROUPS", "Highlights", "Row"],
        "marking": ["Certificate", "Pair", "certify", "delimiter_of", "draw_pairs", "read_marks", "sheet_of"],
        "other_thresholds": ["UNSUPPORTED", "AskedThresholds", "Outcome", "outcomes"],
        "run_difference": ["DIFFERENCE", "Side", "difference"],
        "run_sample": ["SampleTaking", "count_and_sample"],
        "sample_view": ["Kept", "RunSample"],
        "tallies": ["GROUPS", "Histogram", "Tally", "histogram", "tally", "total"],
    },
)
