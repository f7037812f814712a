"""The options of the commands that read finished data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hardneg.errors import parameter
from hardneg.pipelines.options.former import refuse_former
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
        [], description="Corpus files, paths or globs: with --queries and --qrels, known positives."
    )
    queries: list[str] = Field([], description="Query files.")
    qrels: list[str] = Field(
        [],
        description="Judgements, in TREC's or in BEIR's form. For a run of ours they do alone: it brings its texts.",
    )
    min_relevance: float = Field(1.0, gt=0, description="Grades from here on are positives.")
    expect: int | None = Field(None, ge=1, description="Report queries with fewer negatives than this.")
    holdout: list[str] = Field(
        [],
        description="An evaluation set: a BEIR folder (FOLDER:SPLIT where it has several qrels), or files of queries, "
        "passages or both. May be repeated.",
    )
    anchor_column: str | None = Field(None, description="The anchors' column, if it is not recognised.")
    positive_column: str | None = Field(None, description="The positives' column.")
    negative_column: list[str] = Field([], description="The negatives' column. May be repeated.")
    id_column: str | None = Field(None, description="The corpus's id column.")
    text_column: str | None = Field(None, description="The corpus's text column.")
    title_column: str | None = Field(None, description="The corpus's title column.")
    query_id_column: str | None = Field(None, description="The id column of --queries.")
    query_column: str | None = Field(None, description="The text column of --queries.")

    @model_validator(mode="before")
    @classmethod
    def _nothing_of_a_former_version(cls, given: Any) -> Any:
        refuse_former(given)
        return given


class EvaluateOptions(BaseModel):
    """The options of ``hardneg evaluate``; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judgements: list[str] = Field(
        [], description="Judgements that the miner was not told of, in TREC's or in BEIR's form. May be repeated."
    )
    min_relevance: float = Field(1.0, gt=0, description="Grades from here on are relevant.")
    draw: int | None = Field(
        None, ge=1, description="Draw so many mined pairs for a person to mark; 154 is a good number."
    )
    sheet: str | None = Field(None, description="Where --draw writes them: a .tsv or .csv file.")
    marked: str | None = Field(None, description="The sheet, marked: certifies the false-negative rate.")
    seed: int = Field(0, description="Of the draw; --marked needs the one that --draw had.")


class ReportOptions(BaseModel):
    """The options of ``hardneg report``; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: list[Rate] = Field(
        [0.01, 0.02, 0.05, 0.1, 0.2], description="False-negative rates to show what would be kept at."
    )
    leak_rates: list[Rate] = Field([0.01, 0.02, 0.05, 0.1, 0.2], description="Leak rates, likewise.")
    sigmoids: list[Rate] = Field(
        [0.05, 0.1, 0.3, 0.5], description="Thresholds on the sigmoid of the cross-encoder's logit, likewise."
    )
    gamma: float | None = Field(
        None,
        ge=1,
        allow_inf_nan=False,
        description="How much easier to mine unlabelled relevant passages may be than labelled ones. Default: "
        "estimated where queries have several positives, at least 1.25.",
    )


class ExportOptions(BaseModel):
    """The options of ``hardneg export``; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: FormatName = Field(description=f"What the trainer takes: {', '.join(export_formats())}.")
    output: str = Field(min_length=1, description="The folder to write; it appears when all of it is there.")
    scores: bool = Field(False, description="Add the cross-encoder's logits, for distillation. pylate always has them.")
    negatives: int | None = Field(
        None, ge=1, description="Of a query, in selection order: at most so many. Default: as many as were mined."
    )
    short: Literal["drop", "smaller"] | None = Field(
        None,
        description=f"{_fixed()}: leave out queries with fewer negatives, or write tables of fewer beside.",
    )
    overwrite: bool = Field(False, description="Replace an existing output; the old one is kept as OUTPUT.old.")

    @model_validator(mode="after")
    def _short_belongs_to_fixed(self) -> ExportOptions:
        if self.short is not None and not format_named(self.format).fixed:
            raise ValueError(f"{parameter('short')} belongs to {_fixed()}: a row of {self.format} takes what there is")
        return self


AUDIT_DEFAULTS = AuditOptions.model_validate({})
EVALUATE_DEFAULTS = EvaluateOptions.model_validate({})
REPORT_DEFAULTS = ReportOptions.model_validate({})


REPORT = "report.html"
