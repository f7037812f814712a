"""``mine_hard_negatives`` of sentence-transformers, with one import changed.

    from hardneg import mine_hard_negatives

It is the plain functions of ``hardneg.transforms`` called in memory; no pipeline runs. Where it differs from the
function that it stands in for is listed in ``docs/drop_in.md``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from hardneg.compat.embeddings import Side, embed_sides, start_pool
from hardneg.compat.output import Ids, check_columns, layout, read_ids, report
from hardneg.compat.pairs import Pairs, corpus_texts, read_pairs
from hardneg.compat.request import (
    Request,
    check_extras,
    logger,
    settle_columns,
    settle_filters,
    settle_format,
    settle_range,
)
from hardneg.compat.scores import Found, LiveCrossEncoder, score_pool
from hardneg.compat.search import Pool, Vectors, search, search_faiss
from hardneg.compat.selection import UNSUPPORTED, Mined, choose, settled_seed

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, SentenceTransformer

    from hardneg.compat.bm25 import Bm25Search
    from hardneg.transforms.judge.calibrated_judge import JudgeName

__all__ = ["mine_hard_negatives"]


def mine_hard_negatives(
    dataset: Dataset,
    model: SentenceTransformer,
    anchor_column_name: str | None = None,
    positive_column_name: str | None = None,
    corpus: list[str] | None = None,
    cross_encoder: CrossEncoder | None = None,
    range_min: int = 0,
    range_max: int | None = None,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    num_negatives: int = 3,
    sampling_strategy: Literal["random", "top"] = "top",
    query_prompt_name: str | None = None,
    query_prompt: str | None = None,
    corpus_prompt_name: str | None = None,
    corpus_prompt: str | None = None,
    include_positives: bool = False,
    output_format: Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"] = "triplet",
    output_scores: bool = False,
    batch_size: int = 32,
    faiss_batch_size: int = 16384,
    use_faiss: bool = False,
    use_multi_process: list[str] | bool = False,
    verbose: bool = True,
    cache_folder: str | None = None,
    as_triplets: bool | None = None,
    margin: float | None = None,
    *,
    bm25: bool = False,
    target_false_negative_rate: float | None = None,
    judge: Literal["combined", "cross-encoder", "bi-encoder"] | None = None,
    seed: int | None = None,
    anchor_id_column_name: str | None = None,
    positive_id_column_name: str | None = None,
    corpus_ids: list[Any] | None = None,
) -> Dataset:
    """Add hard negatives to a dataset of (anchor, positive) rows.

    The 29 arguments before the star are those of ``sentence_transformers.util.mine_hard_negatives`` 6.2.0, and with
    them alone the result is that function's, row for row, unless scores lie closer than 1e-4. The ones behind it are
    hardneg's, off unless given.

    Args:
        dataset: rows of texts; rows of one anchor are positives of one query.
        model: encodes queries and documents, and gives their similarity.
        anchor_column_name, positive_column_name: the first and the second column, unless named.
        corpus: further documents to search; the positives always are.
        cross_encoder: scores the candidates anew, by which they are then filtered and ranked. With a target it is
            the judge's, and scores no more than it must.
        range_min: how many of the best survivors to skip, after filters and re-ranking.
        range_max: candidates a query; derived from ``num_negatives`` where it is not given.
        max_score, min_score: what a negative's score must lie between.
        absolute_margin, relative_margin: how far a negative must lie below the query's lowest positive: by so much,
            by this share of its magnitude.
        num_negatives: asked of each query.
        sampling_strategy: ``top``, or ``random`` among what survives.
        query_prompt_name, query_prompt, corpus_prompt_name, corpus_prompt: for the model.
        include_positives: rank a query's positives among its candidates.
        output_format: ``triplet``, ``n-tuple``, ``labeled-pair`` or ``labeled-list``.
        output_scores: add the scores, or put them in the place of labels.
        batch_size: texts, or pairs, that a model takes at a time.
        faiss_batch_size: queries searched at a time, at most.
        use_faiss: search with FAISS, which must be installed.
        use_multi_process: encode and score in several processes; a list names their devices.
        verbose: draw progress bars and print what was mined.
        cache_folder: keep the embeddings here, for another call with these texts and this very model.
        as_triplets, margin: deprecated; ``output_format``, ``absolute_margin``.
        bm25: search by BM25 too, and take the candidates by fused rank.
        target_false_negative_rate: the share of relevant texts among the negatives that you accept. A judge is
            calibrated on your positives, and only what it passes is mined, the most similar first. The result's
            ``info.description`` has what is known of it: *estimated*, or *unsupported*.
        judge: what is thresholded for the target: ``combined`` (all scores; with a cross-encoder the default),
            ``cross-encoder`` or ``bi-encoder``.
        seed: the same draws on every call; ``random`` without any argument of hardneg's is the installed function.
        anchor_id_column_name, positive_id_column_name: columns of ids to keep.
        corpus_ids: the ids of ``corpus``, for the columns of the negatives' ids.

    Returns:
        the columns of the function that this stands in for; then, where asked for, those of ids.

    Raises:
        ValueError: an empty dataset, or arguments that are out of range or contradict each other.
        ImportError: ``datasets`` or ``faiss`` is needed and not installed.
        HardnegError: a model gives something else than finite embeddings and scores, or there are too few positives
            for the judge ``bi-encoder``.
    """
    given = dict(locals())
    extras = (bm25, target_false_negative_rate, judge, seed, anchor_id_column_name, positive_id_column_name, corpus_ids)
    if sampling_strategy == "random" and all(value is None or value is False for value in extras):
        return _installed(given)
    return _mine(given)


def _installed(given: dict[str, Any]) -> Dataset:
    """Call the function that is installed, with what differs from the defaults: other versions have other arguments."""
    from sentence_transformers.util import mine_hard_negatives as installed

    defaults = inspect.signature(mine_hard_negatives).parameters
    return installed(**{name: value for name, value in given.items() if value is not defaults[name].default})


def _mine(given: dict[str, Any]) -> Dataset:
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ImportError("Please install `datasets` to use this function: `pip install datasets`.") from error
    request, pairs, ids, faiss = _settle(given)
    show = given["verbose"]
    if show:
        print(
            f"{len(pairs.queries):,} queries with {len(pairs.query):,} positives, {len(pairs.corpus):,} documents; "
            f"range_max is {request.range_max}."
        )
    vectors = _embed(given, pairs)
    pool, index = _search(given, pairs, vectors, request, faiss)
    with _cross_encoder(given) as scorer:
        found = _score(pairs, vectors, pool, index, scorer, request, given["target_false_negative_rate"] is not None)
        mined = _choose(given, found, request)
    result = Dataset.from_dict(layout(pairs, mined, request, ids))
    result.info.description = mined.note
    if show:
        print("\n".join(report(pairs, mined, request, len(result))))
    return result


def _settle(given: dict[str, Any]) -> tuple[Request, Pairs, Ids, Any]:
    """Check every argument, and read the texts."""
    dataset, faiss = given["dataset"], None
    if len(dataset) == 0:
        raise ValueError("The dataset is empty. Please provide a non-empty dataset.")
    if given["faiss_batch_size"] <= 0:
        raise ValueError(f"faiss_batch_size must be a positive integer, got {given['faiss_batch_size']}.")
    if given["use_faiss"]:
        faiss = _faiss()
    columns = list(dataset.column_names)
    anchor, positive = settle_columns(columns, given["anchor_column_name"], given["positive_column_name"])
    output_format, output_scores = settle_format(given)
    filters = settle_filters(given)
    given["corpus"] = corpus_texts(given["corpus"])
    check_extras(given, filters)
    pairs = read_pairs(list(dataset[anchor]), list(dataset[positive]), given["corpus"])
    request = Request(
        anchor=anchor,
        positive=positive,
        filters=filters,
        range_min=given["range_min"],
        range_max=settle_range(given, filters, pairs.max_positives, faiss),
        num_negatives=given["num_negatives"],
        random=given["sampling_strategy"] == "random",
        include_positives=given["include_positives"],
        output_format=output_format,
        output_scores=output_scores,
    )
    named = given["anchor_id_column_name"], given["positive_id_column_name"]
    check_columns(request, *named, given["corpus_ids"] is not None)
    kept = (_id_column(dataset, name) for name in named)
    return request, pairs, read_ids(pairs, given["corpus"], given["corpus_ids"], *kept), faiss


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "Please install `faiss` to use this function with `use_faiss=True`: `pip install faiss-cpu`."
        ) from error
    return faiss


def _id_column(dataset: Dataset, name: str | None) -> tuple[str, list[Any]] | None:
    if name is None:
        return None
    if name not in dataset.column_names:
        raise ValueError(f"The dataset has no column {name!r}; it has {', '.join(map(repr, dataset.column_names))}.")
    return name, list(dataset[name])


def _embed(given: dict[str, Any], pairs: Pairs) -> Vectors:
    model, size, show = given["model"], given["batch_size"], given["verbose"]
    sides = [
        Side(
            "corpus",
            model.encode_document,
            pairs.corpus,
            given["corpus_prompt_name"],
            given["corpus_prompt"],
            size,
            show,
        ),
        Side("query", model.encode_query, pairs.queries, given["query_prompt_name"], given["query_prompt"], size, show),
    ]
    corpus, queries = embed_sides(model, sides, given["cache_folder"], given["use_multi_process"])
    return Vectors(model, queries, corpus)


def _search(
    given: dict[str, Any], pairs: Pairs, vectors: Vectors, request: Request, faiss: Any
) -> tuple[Pool, Bm25Search | None]:
    """Return the candidates, with room for a query's positives among them, and the BM25 index, if there is one."""
    width, at_once, show = request.range_max + pairs.max_positives, given["faiss_batch_size"], given["verbose"]
    if faiss is None:
        pool = search(vectors, width, at_once, show)
    else:
        pool = search_faiss(vectors, faiss, width, at_once, show)
    if not given["bm25"]:
        return pool, None
    from hardneg.compat.bm25 import Bm25Search, fuse

    index = Bm25Search(pairs)
    return fuse(vectors, pool, index), index


@contextmanager
def _cross_encoder(given: dict[str, Any]) -> Iterator[LiveCrossEncoder | None]:
    """Yield the cross-encoder, with its processes if there are to be several."""
    if given["cross_encoder"] is None:
        yield None
        return
    scorer = LiveCrossEncoder(given["cross_encoder"], given["batch_size"], given["verbose"])
    scorer.pool = start_pool(scorer.model, given["use_multi_process"])
    try:
        yield scorer
    finally:
        if scorer.pool is not None:
            scorer.model.stop_multi_process_pool(scorer.pool)


def _score(
    pairs: Pairs,
    vectors: Vectors,
    pool: Pool,
    index: Bm25Search | None,
    scorer: LiveCrossEncoder | None,
    request: Request,
    lazily: bool,
) -> Found:
    """Return the candidates with the scores that filters look at: the cross-encoder's, if there is one.

    Where a judge will ask it for what it needs, and no filter needs all, nothing is scored yet.
    """
    if scorer is None:
        return Found(pairs, vectors, pool, vectors.pairwise(pairs.query, pairs.document), index)
    if lazily and not request.filters.in_use:
        return Found(pairs, vectors, pool, None, index, scorer)
    if not request.filters.in_use:
        logger.warning("A cross_encoder without a filter puts what it finds most relevant on top.")
    scored, positive_scores = score_pool(scorer, pairs, pool)
    return Found(pairs, vectors, scored, positive_scores, index, scorer)


def _choose(given: dict[str, Any], found: Found, request: Request) -> Mined:
    """Return what filters, the judge if there is one, and the selection leave."""
    rate = given["target_false_negative_rate"]
    if rate is None:
        return choose(found, request, given["seed"])
    from hardneg.compat.target import mine_at_rate

    judge: JudgeName = given["judge"] or ("bi-encoder" if found.cross_encoder is None else "combined")
    mined = mine_at_rate(found, request, rate, judge, settled_seed(given["seed"]))
    if UNSUPPORTED in mined.note:
        logger.warning(mined.note)
    return mined
