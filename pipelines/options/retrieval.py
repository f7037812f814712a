"""The options that say what is read, and how candidates are found."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import ConfigDict, Field

from hardneg.transforms.inputs.options import InputOptions


class RetrievalOptions(InputOptions):
    """Inputs and retrievers; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A finished run instead of inputs
    from_run: Annotated[str | None, Parameter(name="--from")] = Field(
        None,
        description="A finished run: mine again from its stored scores, with its options but for those given here. "
        "Only what makes a negative can change.",
    )
    score_missing: bool = Field(False, description="With --from: score the pairs that the new options need, too.")

    # Input, further
    pass_through: list[str] = Field([], description="Corpus columns to copy into candidates/.")
    min_relevance: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="Grades from here on are positives; lower ones above 0 are masked."
    )
    allow_no_positives: bool = Field(False, description="Mine queries without a positive too, into candidates/ only.")
    max_rejected: float = Field(
        0.001, ge=0, le=1, description="Share of a file's rows that may be broken before the run fails."
    )
    max_queries: int | None = Field(
        None,
        ge=1,
        description="Take only so many queries, those of the smallest digests: the same each time.",
    )

    # Retrieval
    bi_encoder: list[str] = Field(
        [],
        description="MODEL or NAME=MODEL: a Hugging Face id (with @revision), a folder, 'bundled' or "
        "'bundled-multilingual'; the first is the model to be trained. May be repeated. Default: 'bundled', unless "
        "--embeddings brings vectors.",
    )
    run: list[str] = Field(
        [], description="NAME=FILE: candidates from a TREC run file of any other system. May be repeated."
    )
    embeddings: list[str] = Field(
        [], description="NAME=GLOB: the passages' vectors (Parquet: id, list) instead of encoding them."
    )
    query_embeddings: list[str] = Field(
        [],
        description="NAME=GLOB: the queries' vectors; without it they are encoded by --bi-encoder NAME=MODEL.",
    )
    k: int = Field(100, ge=1, description="Candidates per query and retriever.")
    bm25_engine: Literal["numba", "rank-bm25"] = Field(
        "numba", description="rank-bm25 runs that library itself: for small corpora and as the reference."
    )
    bm25_tokenizer: Literal["unicode", "jieba"] = Field(
        "unicode",
        description="unicode: words, and character bigrams for scripts without spaces; jieba: "
        "Chinese words (extra 'chinese').",
    )
    bm25_stemmer: str | None = Field(
        None, description="A Snowball stemmer, such as 'english', for inflected languages (extra 'stemming')."
    )
