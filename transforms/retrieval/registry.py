"""The retrievers that a ``[[retriever]]`` table may name, by kind."""

from __future__ import annotations

from hardneg.errors import OptionError
from hardneg.transforms.retrieval.bi_encoder import BiEncoderRetriever
from hardneg.transforms.retrieval.bm25.retriever import Bm25Retriever
from hardneg.transforms.retrieval.retriever import Retriever
from hardneg.transforms.retrieval.run_file import RunRetriever
from hardneg.transforms.retrieval.vectors import VectorsRetriever

BUILT_IN_RETRIEVERS: tuple[type[Retriever], ...] = (
    Bm25Retriever,
    BiEncoderRetriever,
    VectorsRetriever,
    RunRetriever,
)
RETRIEVERS = {each.kind: each for each in BUILT_IN_RETRIEVERS}


def register(retriever: type[Retriever]) -> type[Retriever]:
    """Add a retriever from outside the package; a decorator of its class.

    Workers find the class by its module's name, so it must stand in a module that they can import.

    Raises:
        OptionError: another class has its kind already.
    """
    taken = RETRIEVERS.setdefault(retriever.kind, retriever)
    if (taken.__module__, taken.__qualname__) != (retriever.__module__, retriever.__qualname__):
        raise OptionError(f"There is a retriever of the kind {retriever.kind!r} already; give yours another name.")
    RETRIEVERS[retriever.kind] = retriever
    return retriever
