"""BM25 over segments with the weights of the whole corpus: index, kernel, search, and its stages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "index": ["B", "K1", "encode_queries", "index_passages", "merge_statistics"],
        "retriever": ["Bm25Retriever"],
        "search": ["Bm25Segment", "SearchResult"],
    },
)
