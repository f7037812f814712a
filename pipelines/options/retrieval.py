"""The options that say what is read, and how candidates are found."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import ConfigDict, Field

from hardneg.transforms.core.described import about
from hardneg.transforms.inputs.options import InputOptions


class RetrievalOptions(InputOptions):
    """Inputs and retrievers; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_run: Annotated[str | None, Parameter(name="--from")] = Field(
        None,
        description="Instead of inputs: a finished run, to mine again from its scores, with its options but for those "
        "given. If a threshold, `--judge` or `--gamma` is given, none of the run's is kept.",
        json_schema_extra=about(
            "不读输入，而是用一次已完成运行的分数重新挖掘，选项沿用那次运行，除非另外给出。只要给出了阈值、`--judge` "
            "或 `--gamma` 中的任何一个，那次运行的这些选项就全部作废",
            group="input",
        ),
    )
    score_missing: bool = Field(
        False,
        description="With `--from`: score the pairs that are missing, too.",
        json_schema_extra=about("与 `--from` 合用：给缺分数的对打分", group="input"),
    )
    pass_through: list[str] = Field(
        [],
        description="Corpus columns (source, date, section, ...) to copy into `candidates/`; may be repeated.",
        json_schema_extra=about("需要带到 `candidates/` 的语料库列（来源、日期、章节等）；可多次给出", group="input"),
    )
    min_relevance: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Graded qrels: from which grade on a passage is a positive; lower ones above 0 are masked.",
        json_schema_extra=about("分级标注：从哪一级起算正例；更低但大于 0 的不作负例", group="input"),
    )
    allow_no_positives: bool = Field(
        False,
        description="Mine queries without a positive too, into `candidates/` only.",
        json_schema_extra=about("没有正例的查询也挖，但只写入 `candidates/`", group="input"),
    )
    max_queries: int | None = Field(
        None,
        ge=1,
        description="A trial on a few queries: those of the smallest digests, so the same each time.",
        json_schema_extra=about(
            "先用少量查询试跑：取 id 摘要最小的那些，因此每次都相同", group="input", default=("all", "全部")
        ),
    )

    bi_encoder: list[str] = Field(
        [],
        description="The model to be trained: a Hugging Face id (with @revision), a folder, `bundled` or "
        "`bundled-multilingual`. Repeat it as `NAME=MODEL` for more; the first one orders the candidates.",
        json_schema_extra=about(
            "要训练的模型：Hugging Face id（可带 @revision）、目录、`bundled` 或 `bundled-multilingual`。用 "
            "`NAME=MODEL` 重复给出可增加检索器；第一个决定候选的挑选顺序",
            group="retrieval",
            default=("`bundled`, if no `[[retriever]]` is given", "`bundled`（没有给出 `[[retriever]]` 时）"),
        ),
    )
    retriever: list[dict[str, Any]] = Field(
        [],
        description="One table for each retriever, with its `kind` and its keys, as below. With tables, only those and "
        "`--bi-encoder` search.",
        json_schema_extra=about(
            "每个检索器一个表格，写明 `kind` 和下面的键。给出表格后，只有这些检索器和 `--bi-encoder` 参与检索",
            group="retrieval",
            default=("BM25 and the bi-encoders", "BM25 和双塔模型"),
            file_only=True,
        ),
    )
    k: int = Field(
        100,
        ge=1,
        description="Candidates per query and retriever; raise it if queries are left short of negatives.",
        json_schema_extra=about("每个查询、每个检索器的候选数；若有查询负例不够，就调大", group="retrieval"),
    )
