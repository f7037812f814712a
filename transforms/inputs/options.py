"""What the user points at, as options: one of three layouts, for every command that takes them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Files = Annotated[list[str], BeforeValidator(_several)]


class InputOptions(BaseModel):
    """A BEIR folder; pairs, with or without a corpus; or a corpus, queries and qrels.

    A field's name with dashes is its option. Files are paths or patterns, one or several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str | None = Field(
        None, description="A folder in the BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."
    )
    split: str | None = Field(None, description="Which qrels of that folder to use; the only one, if there is one.")
    corpus: Files = Field(
        [], description="Corpus files (Parquet, Arrow, JSON lines or arrays, TSV, CSV), paths or globs."
    )
    queries: Files = Field([], description="Query files.")
    qrels: Files = Field([], description="Judgements, in TREC's or in BEIR's form.")
    pairs: Files = Field(
        [], description="Files of anchors and positives; without a corpus the positives are the corpus."
    )
    judged_negatives: bool = Field(
        False,
        description="Negatives beside pairs count as judged not relevant (grade 0), not only as passages to search.",
    )
    id_column: str | None = Field(None, description="The corpus's id column, if it is not recognised.")
    text_column: str | None = Field(None, description="The corpus's text column.")
    title_column: str | None = Field(None, description="The corpus's title column.")
    anchor_column: str | None = Field(None, description="The query text's column.")
    positive_column: str | None = Field(None, description="The positives' column in pairs.")
    query_id_column: str | None = Field(None, description="The query id's column.")


# The fields that name a column, as messages and files are asked by them.
COLUMN_OPTIONS = (
    "id_column", "text_column", "title_column", "anchor_column", "positive_column", "query_id_column",
)  # fmt: skip
