"""What the user points at, as options: one of three layouts, for every command that takes them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hardneg.transforms.core.described import about


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Files = Annotated[list[str], BeforeValidator(_several)]


def _column(chinese: str, file_only: bool = True) -> dict[str, Any]:
    return about(chinese, group="input", default=("recognised", "自动识别"), file_only=file_only)


class InputOptions(BaseModel):
    """A BEIR folder; pairs, with or without a corpus; or a corpus, queries and qrels.

    A field's name with dashes is its option. Files are paths or patterns, one or several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str | None = Field(
        None,
        description="A folder in the BEIR layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.",
        json_schema_extra=about("BEIR 格式的目录：corpus.jsonl、queries.jsonl、qrels/SPLIT.tsv", group="input"),
    )
    split: str | None = Field(
        None,
        description="Which `qrels/SPLIT.tsv` of that folder to use.",
        json_schema_extra=about(
            "使用该目录中的哪个 `qrels/SPLIT.tsv`", group="input", default=("the only one", "唯一的那个")
        ),
    )
    corpus: Files = Field(
        [],
        description="Corpus files (Parquet, Arrow, JSON lines or arrays, TSV, CSV), paths or globs; may be repeated.",
        json_schema_extra=about(
            "语料库文件（Parquet、Arrow、JSON lines 或数组、TSV、CSV），路径或通配符；可多次给出", group="input"
        ),
    )
    queries: Files = Field(
        [],
        description="Query files; may be repeated.",
        json_schema_extra=about("查询文件；可多次给出", group="input"),
    )
    qrels: Files = Field(
        [],
        description="Judgements, in TREC's or in BEIR's form; may be repeated.",
        json_schema_extra=about("相关性标注（TREC 或 BEIR 格式）；可多次给出", group="input"),
    )
    pairs: Files = Field(
        [],
        description="Files of anchors and positives; without a corpus the positives are the corpus. May be repeated.",
        json_schema_extra=about(
            "anchor 与 positive 的样本对文件；没有语料库时正例就是语料库。可多次给出", group="input"
        ),
    )
    judged_negatives: bool = Field(
        False,
        description="Negatives beside pairs count as judged not relevant (grade 0), not only as passages to search.",
        json_schema_extra=about("样本对中的负例算作已标注为不相关（0 级），而不只是供检索的段落", group="input"),
    )
    id_column: str | None = Field(
        None,
        description="The corpus's id column has an unusual name.",
        json_schema_extra=_column("语料库的 id 列名不常见"),
    )
    text_column: str | None = Field(
        None,
        description="The corpus's text column has an unusual name.",
        json_schema_extra=_column("语料库的正文列名不常见"),
    )
    title_column: str | None = Field(
        None,
        description="The corpus's title column has; in pairs without a corpus, the positives have a title.",
        json_schema_extra=_column("语料库的标题列名不常见；或没有语料库的样本对中，正例带有标题"),
    )
    anchor_column: str | None = Field(
        None,
        description="The query text's column has an unusual name; or its number, in cells without a first line of "
        "names.",
        json_schema_extra=_column("查询文本的列名不常见；首行不是列名的文件写列号", file_only=False),
    )
    positive_column: str | None = Field(
        None,
        description="The positives' column in pairs has an unusual name, or several might be meant; or its number.",
        json_schema_extra=_column("样本对中正例的列名不常见，或有几列都像；或写列号", file_only=False),
    )
    query_id_column: str | None = Field(
        None,
        description="The query id's column has an unusual name.",
        json_schema_extra=_column("查询 id 的列名不常见"),
    )

    max_rejected: float = Field(
        0.001,
        ge=0,
        le=1,
        description="A file with a larger share of broken rows is still good enough.",
        json_schema_extra=about("坏行更多的文件也可以接受", group="input", file_only=True),
    )


# The fields that name a column, as messages and files are asked by them.
COLUMN_OPTIONS = (
    "id_column", "text_column", "title_column", "anchor_column", "positive_column", "query_id_column",
)  # fmt: skip
