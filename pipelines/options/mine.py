"""What a mining run needs: typed, frozen, validated once, early; every problem is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from hardneg.errors import parameter
from hardneg.pipelines.options.denoise import DenoiseOptions
from hardneg.pipelines.options.former import refuse_former
from hardneg.pipelines.options.models import ModelOptions
from hardneg.pipelines.options.output import OutputOptions
from hardneg.pipelines.options.retrieval import RetrievalOptions
from hardneg.pipelines.options.retrievers import make_retrievers
from hardneg.transforms.core.source import LOGIT, Source
from hardneg.transforms.core.storage import is_local
from hardneg.transforms.core.tokenization import TokenizerSpec
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.retrieval.bm25.retriever import Bm25Retriever
from hardneg.transforms.retrieval.retriever import Retriever

# Columns of candidates/ and of the tables on the way to it.
_TAKEN = {
    *("passage_id", "text", "file", "line", "text_digest", "query", "segment", "row", "query_id", "query_digest"),
    *("sources", "fused_rank", "grade", "seen_in_training", LOGIT, "judge_score", "difficulty"),
    *("verdict", "reason", "selected"),
}


class MineConfig(OutputOptions, ModelOptions, DenoiseOptions, RetrievalOptions):
    """The options of ``hardneg mine``; a field's name with dashes is its option."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_of_a_former_version(cls, given: Any) -> Any:
        refuse_former(given)
        return given

    @model_validator(mode="after")
    def _names_are_clear(self) -> MineConfig:
        sources = self.sources
        taken = {name for source in sources for name in (source.rank, source.hit, source.signal)} | _TAKEN
        for name in self.policy.pass_through:
            if name in taken or self.pass_through.count(name) > 1:
                raise ValueError(
                    f"{parameter('pass_through')} {name}: candidates/ has a column of that name already; rename yours"
                )
        if len(self.cross_encoder_prompt) > 2:
            raise ValueError(
                f"{parameter('cross_encoder_prompt')} may be given twice at most: for the query and for the passage"
            )
        _ = self.cross_encoder_spec
        return self

    @model_validator(mode="after")
    def _run_is_another(self) -> MineConfig:
        if self.score_missing and not self.from_run:
            raise ValueError(f"{parameter('score_missing')} belongs to {parameter('from_run')} RUN")
        if self.from_run and is_local(self.from_run) and is_local(self.output):
            run, output = Path(self.from_run).resolve(), Path(self.output).resolve()
            if run == output or run in output.parents or output in run.parents:
                raise ValueError(
                    f"{parameter('from_run')} {self.from_run} and {parameter('output')} {self.output}: give the output "
                    "its own folder"
                )
        return self

    @property
    def retrievers(self) -> list[Retriever]:
        """What searches, in the order of its columns."""
        run = {"dtype": self.dtype, "device": self.device, "trust_remote_code": self.trust_remote_code}
        return [each.under(**run) for each in make_retrievers(self.retriever, self.bi_encoder)]

    @property
    def sources(self) -> list[Source]:
        """The retrievers' columns."""
        return [each.source for each in self.retrievers]

    @property
    def policy(self) -> Policy:
        group = [self.group_column] if self.group_column and self.group_column not in self.pass_through else []
        return self.policy_with(self.min_relevance, self.tokenizer, (*self.pass_through, *group))

    @property
    def tokenizer(self) -> TokenizerSpec:
        """What cuts texts into terms: what the first BM25 does it by."""
        return next((each.tokens for each in self.retrievers if isinstance(each, Bm25Retriever)), TokenizerSpec())

    @property
    def inputs(self) -> InputOptions:
        return InputOptions.model_validate({name: getattr(self, name) for name in InputOptions.model_fields})
