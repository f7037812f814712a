"""What a mining run needs: typed, frozen, validated once, early; every problem is listed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from hardneg.errors import HardnegError
from hardneg.pipelines.options.denoise import THRESHOLDS, DenoiseOptions
from hardneg.pipelines.options.finished import FormatName
from hardneg.pipelines.options.retrieval import RetrievalOptions
from hardneg.pipelines.options.served import RemoteOptions
from hardneg.transforms.core.source import Source
from hardneg.transforms.core.storage import is_local
from hardneg.transforms.core.tokenization import TokenizerSpec
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import BUNDLED, ModelSpec
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.retrieval.bi_encoder import BiEncoderRetriever
from hardneg.transforms.retrieval.bm25.retriever import Bm25Retriever
from hardneg.transforms.retrieval.retriever import Retriever
from hardneg.transforms.retrieval.run_file import RunRetriever
from hardneg.transforms.retrieval.vectors import VectorsRetriever

_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(.+)", re.DOTALL)
DEFAULT_DENSE = "dense"
# Columns of candidates/ and of the tables on the way to it.
_TAKEN = {
    *("passage_id", "text", "file", "line", "text_digest", "query", "segment", "row", "query_id", "query_digest"),
    *(
        "sources",
        "fused_rank",
        "grade",
        "seen_in_training",
        "logit",
        "judge_score",
        "difficulty",
        "verdict",
        "reason",
        "selected",
    ),
}


class MineConfig(DenoiseOptions, RetrievalOptions, RemoteOptions):
    """The options of ``hardneg mine``; a field's name with dashes is its option."""

    # Judging
    cross_encoder: str = Field(
        "bundled",
        description="A Hugging Face id (with @revision), a folder, 'bundled', or the address of a served one (http://...).",
    )
    # Models
    query_prompt: str | None = Field(
        None, description="Put before queries for the bi-encoders; default: the model's own."
    )
    passage_prompt: str | None = Field(None, description="Put before passages for the bi-encoders.")
    cross_encoder_prompt: list[str] = Field(
        [], description="Put before the query, and (given twice) before the passage, for the cross-encoder."
    )
    bi_encoder_max_length: int | None = Field(
        None, ge=8, description="Tokens a text is cut to; default: the model's limit, 512 at most."
    )
    cross_encoder_max_length: int | None = Field(
        None,
        ge=16,
        description="Tokens a pair is cut to; default: the model's limit, 512 at most. Less is faster.",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="auto: bfloat16 where the hardware has it."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with a model. Off for a reason.")
    allow_unknown_tokens: bool = Field(
        False, description="Go on with a model whose tokenizer does not know the corpus's language."
    )

    # Output
    output: str = Field(min_length=1, description="The folder to write; it appears when the run has finished.")
    output_shards: int = Field(8, ge=1, le=100_000, description="Files per table; more for larger outputs.")
    overwrite: bool = Field(
        False,
        description="Replace an existing output; the old one is kept as OUTPUT.old (in an object store: deleted).",
    )
    format: list[FormatName] = Field(
        [],
        description="Write it in this form, too, into OUTPUT/FORMAT, as `hardneg export` does. May be repeated.",
    )
    work: str | None = Field(
        None,
        description="Where indexes and embeddings are kept while it runs, and after a kill; default OUTPUT.work.",
    )

    # Machinery: none of these changes the output.
    segments: int | None = Field(None, ge=1, description="Slices of the corpus; default: one per 64 MB of input.")
    block_size: int = Field(256, ge=1, description="Queries that travel together.")
    hydrate: Literal["local", "shuffle"] = Field(
        "local",
        description="shuffle: send texts with the blocks, where scoring workers cannot see the work folder.",
    )

    @model_validator(mode="after")
    def _names_are_clear(self) -> MineConfig:
        dense = self.bi_encoders
        embeddings = parse_named(self.embeddings, "--embeddings")
        queries = parse_named(self.query_embeddings, "--query-embeddings")
        parse_named(self.run, "--run")
        for name in embeddings:
            if name not in queries and name not in dense:
                raise ValueError(
                    f"--embeddings {name}=... brings passage vectors only: add --query-embeddings {name}=GLOB, or "
                    f"--bi-encoder {name}=MODEL to encode the queries"
                )
        for name in queries:
            if name not in embeddings:
                raise ValueError(f"--query-embeddings {name}=... needs --embeddings {name}=GLOB beside it")
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two retrievers are called {name!r}; give each its own NAME=")
        taken = {name for source in self.sources for name in (source.rank, source.hit, source.signal)} | _TAKEN
        for name in self.policy.pass_through:
            if name in taken or self.pass_through.count(name) > 1:
                raise ValueError(f"--pass-through {name}: candidates/ has a column of that name already; rename yours")
        if len(self.cross_encoder_prompt) > 2:
            raise ValueError("--cross-encoder-prompt may be given twice at most: for the query and for the passage")
        _ = self.cross_encoder_spec
        return self

    @model_validator(mode="after")
    def _run_is_another(self) -> MineConfig:
        if self.score_missing and not self.from_run:
            raise ValueError("--score-missing belongs to --from RUN")
        if self.from_run and is_local(self.from_run) and is_local(self.output):
            run, output = Path(self.from_run).resolve(), Path(self.output).resolve()
            if run == output or run in output.parents or output in run.parents:
                raise ValueError(f"--from {self.from_run} and --output {self.output}: give the output its own folder")
        return self

    @model_validator(mode="after")
    def _folders_lie_apart(self) -> MineConfig:
        given = (self.output, self.work_folder)
        # The work folder is deleted when the run has finished, and the output appears by a rename.
        output, work = (Path(path).resolve() if is_local(path) else PurePosixPath(path) for path in given)
        if output == work or output in work.parents or work in output.parents:
            raise ValueError(f"--output {given[0]} and --work {given[1]}: one lies in the other; keep them apart")
        if is_local(self.output) and not is_local(self.work_folder):
            raise ValueError(f"--output {given[0]} is a local folder, so --work {given[1]} must be one too")
        return self

    @property
    def bi_encoders(self) -> dict[str, str]:
        """The bi-encoders by source name; without any, and without the user's vectors, the bundled one."""
        default = [] if self.embeddings else [BUNDLED]
        return parse_named(self.bi_encoder or default, "--bi-encoder", DEFAULT_DENSE)

    @property
    def cross_encoder_spec(self) -> ModelSpec | RemoteSpec:
        remote = self.remote_spec(self.cross_encoder, self.cross_encoder_prompt, self.cross_encoder_max_length)
        if remote is not None:
            return remote
        prompts = [*self.cross_encoder_prompt, None, None]
        return ModelSpec(
            "cross-encoder",
            self.cross_encoder,
            prompts[0],
            prompts[1],
            self.cross_encoder_max_length,
            self.dtype,
            self.device,
            self.trust_remote_code,
        )

    @property
    def retrievers(self) -> list[Retriever]:
        """BM25, the bi-encoders and vectors in the order given, the runs."""
        vectors = parse_named(self.embeddings, "--embeddings")
        queries = parse_named(self.query_embeddings, "--query-embeddings")
        found: list[Retriever] = [
            Bm25Retriever(tokenizer=self.bm25_tokenizer, stemmer=self.bm25_stemmer, engine=self.bm25_engine)
        ]
        for name in dict.fromkeys([*self.bi_encoders, *vectors]):
            if name in queries:
                found.append(VectorsRetriever(name=name, vectors=vectors[name], query_vectors=queries[name]))
            else:
                found.append(
                    BiEncoderRetriever(
                        name=name,
                        model=self.bi_encoders[name],
                        query_prompt=self.query_prompt,
                        passage_prompt=self.passage_prompt,
                        max_length=self.bi_encoder_max_length,
                        vectors=vectors.get(name),
                    )
                )
        found += [RunRetriever(name=name, file=file) for name, file in parse_named(self.run, "--run").items()]
        run = {"dtype": self.dtype, "device": self.device, "trust_remote_code": self.trust_remote_code}
        return [each.under(**run) for each in found]

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
        return TokenizerSpec(self.bm25_tokenizer, self.bm25_stemmer)

    @property
    def inputs(self) -> InputOptions:
        return InputOptions.model_validate({name: getattr(self, name) for name in InputOptions.model_fields})

    @property
    def work_folder(self) -> str:
        return self.work or self.output.rstrip("/") + ".work"


def parse_named(values: list[str], option: str, unnamed: str | None = None) -> dict[str, str]:
    """Split NAME=VALUE options; the first value without a name is called ``unnamed``, if that is given.

    Raises:
        ValueError: a missing or repeated name.
    """
    named: dict[str, str] = {}
    for value in values:
        match = _NAMED.fullmatch(value)
        if not match and unnamed is None:
            raise ValueError(f"{option} takes NAME=VALUE, and {value!r} has no name")
        name, rest = match.groups() if match else (unnamed or "", value)
        if name in named:
            raise ValueError(f"{option} names {name!r} twice; write {option} NAME={rest} with another name")
        named[name] = rest
    return named


def load_options(path: str) -> dict[str, Any]:
    """Return the options in a TOML file or in the manifest.json of a former run.

    Raises:
        HardnegError: the file cannot be read.
    """
    file = Path(path)
    try:
        if file.suffix == ".json":
            loaded = json.loads(file.read_text(encoding="utf-8"))
            # To replace an output is a decision of its day, not of the run that is repeated.
            return {
                name: value for name, value in loaded["options"].items() if value is not None and name != "overwrite"
            }
        return {
            name.replace("-", "_"): value for name, value in tomllib.loads(file.read_text(encoding="utf-8")).items()
        }
    except OSError as error:
        raise HardnegError(f"--config {path}: it cannot be read ({error.strerror}); give an existing file.") from None
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HardnegError(f"--config {path}: it is neither TOML nor a manifest.json ({error}).") from None
    except (KeyError, AttributeError, TypeError):
        raise HardnegError(
            f'--config {path}: it has no "options"; give a TOML file or a run\'s manifest.json.'
        ) from None


# Of a run, not of what it mines.
_OF_THE_RUN = ("output", "work", "overwrite", "from_run", "score_missing")


def options_of_run(run: str, given: Collection[str]) -> dict[str, Any]:
    """Return the options of a finished run for ``mine --from``.

    Args:
        run: its folder.
        given: names of the options that are given anew; if one of them is a threshold, the run's are left out.

    Raises:
        HardnegError: no finished run.
    """
    stored = FinishedRun.open(run).options
    replaced = THRESHOLDS if set(given) & set(THRESHOLDS) else ()
    return {
        name: value
        for name, value in stored.items()
        if value is not None and name not in _OF_THE_RUN and name not in replaced
    }


def problems_of(error: ValidationError) -> str:
    """Return a validation error as one line per problem, naming the options."""
    lines = []
    for problem in error.errors():
        option = " ".join("--" + str(part).replace("_", "-") for part in problem["loc"][:1])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            message = "it must be given"
        elif problem["type"] == "extra_forbidden":
            message = "there is no such option"
        elif option:
            message = f"{message[0].lower()}{message[1:]}, not {problem['input']!r}"
        lines.append(f"{option}: {message}." if option else f"{message}.")
    return "\n".join(lines)
