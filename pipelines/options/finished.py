"""The options of the commands that read finished data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hardneg.errors import parameter
from hardneg.pipelines.options.former import refuse_former
from hardneg.transforms.core.described import in_chinese
from hardneg.transforms.export.registry import export_formats, format_named


def _registered(name: str) -> str:
    if name not in export_formats():
        raise ValueError(f"it must be one of {', '.join(export_formats())}")
    return name


def _fixed() -> str:
    return " and ".join(form.name for form in export_formats().values() if form.fixed)


FormatName = Annotated[str, AfterValidator(_registered)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class AuditOptions(BaseModel):
    """The options of ``hardneg audit``; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: list[str] = Field(
        [],
        description="Corpus files, paths or globs: with --queries and --qrels, known positives.",
        json_schema_extra=in_chinese("语料库文件，路径或通配符：与 --queries 和 --qrels 一起给出已知正例"),
    )
    queries: list[str] = Field([], description="Query files.", json_schema_extra=in_chinese("查询文件"))
    qrels: list[str] = Field(
        [],
        description="Judgements, in TREC's or in BEIR's form. For a run of ours they do alone: it brings its texts.",
        json_schema_extra=in_chinese("相关性标注，TREC 或 BEIR 格式。检查本工具的一次运行时只给它就够了：运行自带文本"),
    )
    min_relevance: float = Field(
        1.0, gt=0, description="Grades from here on are positives.", json_schema_extra=in_chinese("从这一级起算正例")
    )
    expect: int | None = Field(
        None,
        ge=1,
        description="Report queries with fewer negatives than this.",
        json_schema_extra=in_chinese("负例少于这个数的查询也报告"),
    )
    batch_size: int | None = Field(
        None,
        ge=2,
        description="Count the rows that meet, in another row of a batch of so many, what is relevant to their anchor: "
        "read in order, and at random.",
        json_schema_extra=in_chinese(
            "每个 batch 这么多行时，有多少行会在其他行里遇到与自己的 anchor 相关的段落：按顺序读取，以及随机打乱"
        ),
    )
    holdout: list[str] = Field(
        [],
        description="An evaluation set: a BEIR folder (FOLDER:SPLIT where it has several qrels), or files of queries, "
        "passages or both. May be repeated.",
        json_schema_extra=in_chinese(
            "评测集：BEIR 目录（有几个 qrels 时写 FOLDER:SPLIT），或查询、段落或两者兼有的文件。可多次给出"
        ),
    )
    anchor_column: str | None = Field(
        None,
        description="The anchors' column, if it is not recognised.",
        json_schema_extra=in_chinese("anchor 的列，识别不出时给出"),
    )
    positive_column: str | None = Field(
        None, description="The positives' column.", json_schema_extra=in_chinese("正例的列")
    )
    negative_column: list[str] = Field(
        [], description="The negatives' column. May be repeated.", json_schema_extra=in_chinese("负例的列。可多次给出")
    )
    id_column: str | None = Field(
        None, description="The corpus's id column.", json_schema_extra=in_chinese("语料库的 id 列")
    )
    text_column: str | None = Field(
        None, description="The corpus's text column.", json_schema_extra=in_chinese("语料库的正文列")
    )
    title_column: str | None = Field(
        None, description="The corpus's title column.", json_schema_extra=in_chinese("语料库的标题列")
    )
    query_id_column: str | None = Field(
        None, description="The id column of --queries.", json_schema_extra=in_chinese("--queries 的 id 列")
    )
    query_column: str | None = Field(
        None, description="The text column of --queries.", json_schema_extra=in_chinese("--queries 的文本列")
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_of_a_former_version(cls, given: Any) -> Any:
        refuse_former(given)
        return given


class EvaluateOptions(BaseModel):
    """The options of ``hardneg evaluate``; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judgements: list[str] = Field(
        [],
        description="Judgements that the miner was not told of, in TREC's or in BEIR's form. May be repeated.",
        json_schema_extra=in_chinese("挖掘时没有用到的相关性标注，TREC 或 BEIR 格式。可多次给出"),
    )
    min_relevance: float = Field(
        1.0, gt=0, description="Grades from here on are relevant.", json_schema_extra=in_chinese("从这一级起算相关")
    )
    draw: int | None = Field(
        None,
        ge=1,
        description="Draw so many mined pairs for a person to mark; 154 is a good number.",
        json_schema_extra=in_chinese("抽出这么多个挖到的（查询，负例）对供人标注；154 个比较合适"),
    )
    sheet: str | None = Field(
        None,
        description="Where --draw writes them: a .tsv or .csv file.",
        json_schema_extra=in_chinese("`--draw` 写到哪里：.tsv 或 .csv 文件"),
    )
    marked: str | None = Field(
        None,
        description="The sheet, marked: certifies the false-negative rate.",
        json_schema_extra=in_chinese("标注好的表：据此认证假负例率"),
    )
    seed: int = Field(
        0,
        description="Of the draw; --marked needs the one that --draw had.",
        json_schema_extra=in_chinese("抽样的种子；`--marked` 要用与 `--draw` 相同的"),
    )


class ReportOptions(BaseModel):
    """The options of ``hardneg report``; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: list[Rate] = Field(
        [0.01, 0.02, 0.05, 0.1, 0.2],
        description="False-negative rates to show what would be kept at.",
        json_schema_extra=in_chinese("按这些假负例率显示会留下什么"),
    )
    leak_rates: list[Rate] = Field(
        [0.01, 0.02, 0.05, 0.1, 0.2],
        description="Leak rates, likewise.",
        json_schema_extra=in_chinese("同样，按这些泄漏率"),
    )
    sigmoids: list[Rate] = Field(
        [0.05, 0.1, 0.3, 0.5],
        description="Thresholds on the sigmoid of the cross-encoder's logit, likewise.",
        json_schema_extra=in_chinese("同样，按交叉编码器 logit 的 sigmoid 的这些阈值"),
    )
    gamma: float | None = Field(
        None,
        ge=1,
        allow_inf_nan=False,
        description="How much easier to mine unlabelled relevant passages may be than labelled ones. Default: "
        "estimated where queries have several positives, at least 1.25.",
        json_schema_extra=in_chinese(
            "漏标的相关段落比已标注的容易挖到多少倍。默认：查询有几个正例时由数据估计，至少 1.25"
        ),
    )


class ExportOptions(BaseModel):
    """The options of ``hardneg export``; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: FormatName = Field(
        description=f"What the trainer takes: {', '.join(export_formats())}.",
        json_schema_extra=in_chinese(f"训练框架要的格式：{', '.join(export_formats())}"),
    )
    output: str = Field(
        min_length=1,
        description="The folder to write; it appears when all of it is there.",
        json_schema_extra=in_chinese("要写入的目录；全部写好后才出现"),
    )
    scores: bool = Field(
        False,
        description="Add the cross-encoder's logits, for distillation. pylate always has them.",
        json_schema_extra=in_chinese("加上交叉编码器的 logit，用于蒸馏。pylate 总是带有"),
    )
    negatives: int | None = Field(
        None,
        ge=1,
        description="Of a query, in selection order: at most so many. Default: as many as were mined.",
        json_schema_extra=in_chinese("每个查询最多这么多个，按挑选顺序。默认：挖到多少就多少"),
    )
    short: Literal["drop", "smaller"] | None = Field(
        None,
        description=f"{_fixed()}: leave out queries with fewer negatives, or write tables of fewer beside.",
        json_schema_extra=in_chinese(f"{_fixed()}：负例较少的查询不写，或另写成负例较少的表"),
    )
    overwrite: bool = Field(
        False,
        description="Replace an existing output; the old one is kept as OUTPUT.old.",
        json_schema_extra=in_chinese("替换已有的输出；旧的保留为 OUTPUT.old"),
    )

    @model_validator(mode="after")
    def _short_belongs_to_fixed(self) -> ExportOptions:
        if self.short is not None and not format_named(self.format).fixed:
            raise ValueError(f"{parameter('short')} belongs to {_fixed()}: a row of {self.format} takes what there is")
        return self


AUDIT_DEFAULTS = AuditOptions.model_validate({})
EVALUATE_DEFAULTS = EvaluateOptions.model_validate({})
REPORT_DEFAULTS = ReportOptions.model_validate({})


REPORT = "report.html"
