"""Candidates for queries: what a retriever is, the four of the package, search of segments and their merge."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bm25": ["Bm25Retriever"],
        "dense": ["pair_similarities"],
        "merge": ["RRF_K", "rank_within"],
        "registry": ["BUILT_IN_RETRIEVERS", "RETRIEVERS", "register"],
        "retriever": ["Counted", "Found", "PairRows", "Retriever", "Site"],
        "stages": ["MergeCandidates", "SearchSegments"],
    },
)
