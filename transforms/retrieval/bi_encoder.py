"""Retrieval by a bi-encoder that is run here; its prompts, maximum length and dtype are its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge

from hardneg.transforms.core.described import key
from hardneg.transforms.models.spec import BUNDLED, ModelSpec
from hardneg.transforms.retrieval.embeddings import EmbeddingRetriever
from hardneg.transforms.retrieval.retriever import Site
from hardneg.transforms.retrieval.vectors import files_of

if TYPE_CHECKING:
    import apache_beam as beam


_ANOTHER = ("another than the run's", "与整次运行不同时给出")


@dataclass(frozen=True, kw_only=True)
class BiEncoderRetriever(EmbeddingRetriever):
    """A bi-encoder; the first one is the model to be trained."""

    kind: ClassVar[str] = "bi-encoder"
    english: ClassVar[str] = "a bi-encoder, which encodes queries and passages; the first is the model to be trained"
    chinese: ClassVar[str] = "双塔模型，编码查询和段落；第一个就是要训练的模型"

    name: str = key("names its columns in `candidates/`", "在 `candidates/` 中的列名", "dense")
    model: str = key(
        "a Hugging Face id (with @revision), a folder, `bundled` or `bundled-multilingual`",
        "Hugging Face id（可带 @revision）、目录、`bundled` 或 `bundled-multilingual`",
        BUNDLED,
    )
    query_prompt: str | None = key(
        'an instruction to put before queries, such as `"query: "`, that is not stored with the model',
        '放在查询前面的指令，例如 `"query: "`；模型自带时不必给出',
        None,
    )
    passage_prompt: str | None = key("the same before passages", "同上，放在段落前面", None)
    max_length: Annotated[int, Ge(8)] | None = key(
        "tokens to which a text is cut; the model's limit, 512 at most",
        "文本截断到的词元数；默认为模型的上限，至多 512",
        None,
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] | None = key(*_ANOTHER, None)
    device: str | None = key(*_ANOTHER, None)
    trust_remote_code: bool | None = key(*_ANOTHER, None)
    vectors: str | None = key(
        "a path or pattern: you have the passages' vectors already (Parquet: one column of ids, one list of floats), "
        "so only queries are encoded",
        "路径或通配符：段落向量已经有了（Parquet：一列 id，一列浮点数列表），只编码查询",
        None,
    )

    def under(self, **run: Any) -> Self:
        names = ("dtype", "device", "trust_remote_code")
        return replace(self, **{name: run[name] for name in names if getattr(self, name) is None})

    def check(self) -> None:
        if self.vectors is not None:
            files_of(self, "vectors", self.vectors)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            "bi-encoder",
            self.model,
            self.query_prompt,
            self.passage_prompt,
            self.max_length,
            self.dtype or "auto",
            self.device or "auto",
            bool(self.trust_remote_code),
        )

    @property
    def encodes_passages(self) -> bool:
        return self.vectors is None

    def index(self, site: Site) -> beam.PTransform:
        from hardneg.transforms.retrieval.encode_stage import EncodeSegments
        from hardneg.transforms.retrieval.vectors_stage import PlaceVectors

        if self.vectors is not None:
            return PlaceVectors(self.name, self.array, files_of(self, "vectors", self.vectors), site)
        return EncodeSegments(self.name, self.array, self.spec, site)

    def encode(self, site: Site) -> beam.PTransform:
        from hardneg.transforms.retrieval.encode_stage import EncodeQueries

        return EncodeQueries(self.name, self.column, self.spec, site)
