"""What a retriever is: an object that travels to the workers, makes segments ready and finds candidates in them.

To add one, write a frozen dataclass that inherits from ``Retriever``, and name it in ``registry``, or, from outside
the package, call ``register``. Its fields are the keys of its ``[[retriever]]`` table.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.described import key
from hardneg.transforms.core.source import Source
from hardneg.transforms.corpus.segments import Segment, folder
from hardneg.transforms.store.uses import StorePlace

if TYPE_CHECKING:
    import apache_beam as beam

    from hardneg.transforms.models.spec import ModelSpec


class PairRows(NamedTuple):
    """Queries of a block with passages of a segment, each pair once, sorted by query, then passage.

    Attributes:
        queries: rows in the block, int64 (pairs,).
        rows: rows in the segment, int64 (pairs,).
    """

    queries: IntArray
    rows: IntArray

    @classmethod
    def of(cls, *parts: tuple[np.ndarray, np.ndarray]) -> PairRows:
        """Return the union of pairs that are given in any order."""
        queries = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
        rows = np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)])
        size = int(rows.max(initial=0)) + 1
        keys = np.unique(queries * size + rows)
        return cls(keys // size, keys % size)

    def keys(self, size: int) -> IntArray:
        """Return each pair as one ascending number; ``size`` is that of the segment."""
        return self.queries * size + self.rows


@dataclass(frozen=True)
class Found:
    """What a retriever finds for a block of queries in one segment.

    Attributes:
        hits: at most ``k`` pairs a query: every one that can be among the query's best ``k`` of the whole corpus.
        signal: the score of any pairs of this block and segment, float32 (pairs,); a score depends on its pair alone,
            bit for bit. None: the retriever has no scores.
        ranks: 1-based ranks of the hits in the whole corpus, int32, where they are known beforehand; None: they follow
            from the signal, descending, then passage id.
    """

    hits: PairRows
    signal: Callable[[PairRows], np.ndarray] | None = None
    ranks: np.ndarray | None = None


@dataclass(frozen=True)
class Site:
    """Where and how a run works, as far as a retriever's stages need to know.

    Attributes:
        work: the work folder.
        segments: slices of the passage ids.
        buckets: slices of the query ids.
        threads: of one worker; None: as they are.
        place: where embeddings are stored.
    """

    work: str
    segments: int
    buckets: int
    threads: int | None
    place: StorePlace


class Counted(NamedTuple):
    """What a stage of a retriever gives that counts what it does: its output, and (name, number) for the manifest."""

    main: beam.PCollection
    counts: beam.PCollection


@dataclass(frozen=True, kw_only=True)
class Retriever(ABC):
    """One way to find candidates.

    Only ``source`` and ``search`` must be written. What a segment needs to be searched is made by ``index_segment``,
    what a query needs by ``encode_queries``; a retriever whose preparation is more than that (statistics of the whole
    corpus, work that outlives a kill) gives stages of its own by ``index`` and ``encode``.

    Its fields are made by ``described.key`` and are the keys of its table in the file of options; a key that the class
    does not have is refused there.
    """

    kind: ClassVar[str]
    english: ClassVar[str] = ""  # what it is for, as the docs tell it
    chinese: ClassVar[str] = ""
    scores_in_passing: ClassVar[bool] = False  # its search knows the scores of wanted pairs, so it searches last
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str = key("names its columns in `candidates/`", "在 `candidates/` 中的列名")

    @property
    @abstractmethod
    def source(self) -> Source:
        """The columns of its rank and its signal."""

    @abstractmethod
    def search(self, queries: pa.Table, segment: Segment, k: int, wanted: PairRows) -> Found:
        """Search a segment for a block of queries.

        Args:
            queries: ``query_id``, ``text`` and the columns that this retriever added to the block.
            segment: the opened segment; ``segment.hold`` keeps what is opened over it.
            k: hits of a query, at most.
            wanted: pairs whose signals will be asked for, whatever is found; more may be.
        """

    def index_segment(self, segment: Segment, target: Path) -> None:
        """Write what a search of the segment needs into the folder ``target``, found again by ``files_in``."""
        raise NotImplementedError

    def encode_queries(self, texts: list[str]) -> pa.Array:
        """Return what a search needs of each query; it travels as the column ``column`` of the block."""
        raise NotImplementedError

    @property
    def column(self) -> str:
        """The block's column that belongs to this retriever."""
        return f"query_{self.name}"

    def files_in(self, segment: Segment) -> Path:
        """Return the folder that ``index_segment`` wrote of a segment, on this machine."""
        return segment.fresh() / self.name

    def folder_of(self, work: str, segment: int) -> str:
        """Return the folder of the retriever's files of a segment, in the work folder."""
        return f"{folder(work, segment)}/{self.name}"

    # What a run asks of it, in this order.

    def under(self, **run: Any) -> Self:
        """Return the retriever with the run's ``dtype``, ``device`` and ``trust_remote_code`` where it has no own."""
        return self

    def check(self) -> None:  # noqa: B027 - a retriever may have nothing to look at
        """Raise InputError or OptionError for what can be seen to be wrong before a worker starts."""

    @property
    def spec(self) -> ModelSpec | None:
        """The model to load and try on the corpus before anything expensive; None: there is none."""
        return None

    @property
    def encodes_passages(self) -> bool:
        """Whether the model runs over the whole corpus."""
        return self.spec is not None

    @property
    def known_type(self) -> pa.DataType | None:
        """The type of ``column`` where ``known`` brings it."""
        return None

    def known(self, site: Site) -> beam.PTransform | None:
        """Return a stage from the pipeline to (bucket of the query id, table of ``query_id`` and ``column``).

        For what the user brings per query; None: nothing.
        """
        return None

    def index(self, site: Site) -> beam.PTransform | None:
        """Return a stage from ``SegmentInfo`` to the numbers of the segments that can be searched; None: all can.

        It may give them as ``Counted``.
        """
        if type(self).index_segment is Retriever.index_segment:
            return None
        from hardneg.transforms.retrieval.stages import PrepareSegments

        return PrepareSegments(self, site)

    def encode(self, site: Site) -> beam.PTransform | None:
        """Return a stage that adds ``column`` to (block, table of queries); None: nothing is added.

        It may give them as ``Counted``.
        """
        if type(self).encode_queries is Retriever.encode_queries:
            return None
        from hardneg.transforms.retrieval.stages import PrepareQueries

        return PrepareQueries(self, site)
