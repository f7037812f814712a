"""The options of ``hardneg train-judge``; a field's name with dashes is its option."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from hardneg.errors import parameter
from hardneg.transforms.core.described import in_chinese
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.models.spec import BUNDLED, ModelSpec


class TrainOptions(InputOptions):
    """What ``hardneg train-judge`` needs."""

    scored_pairs: list[str] = Field(
        [],
        description="Files of query, passage and label (or score, from 0 to 1; or a teacher's logit), instead of or "
        "beside known positives.",
        json_schema_extra=in_chinese(
            "含查询、段落和 label（或 0 到 1 的 score；或教师模型的 logit）的文件，代替已知正例，或与之并用"
        ),
    )
    max_queries: int | None = Field(
        None,
        ge=1,
        description="Take only so many queries, those of the smallest digests.",
        json_schema_extra=in_chinese("只用这么多查询：摘要最小的那些"),
    )

    # Negatives
    bi_encoder: str = Field(
        BUNDLED,
        description="Finds negatives, beside BM25: a model that reads the language.",
        json_schema_extra=in_chinese("与 BM25 一起找负例：能读懂该语言的模型"),
    )
    rounds: int = Field(
        3,
        ge=1,
        description="How often each positive is learned, beside harder negatives each time.",
        json_schema_extra=in_chinese("每个正例学几遍，每遍配更难的负例"),
    )
    negatives: int = Field(
        2,
        ge=1,
        description="Negatives that go with a query in each round, new ones each time.",
        json_schema_extra=in_chinese("每一遍中一个查询配几个负例，每遍都换新的"),
    )
    target_false_negative_rate: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="The share of relevant passages among the negatives to accept; what looks like an unlabelled "
        "positive is left out.",
        json_schema_extra=in_chinese("能接受负例中有多大比例实际相关；看起来像漏标正例的不用"),
    )

    # Training
    base: str = Field(
        BUNDLED,
        description="The model to start from: a Hugging Face id (with @revision), a folder, or 'bundled'.",
        json_schema_extra=in_chinese("从哪个模型开始：Hugging Face id（可带 @revision）、目录，或 `bundled`"),
    )
    max_length: int = Field(
        256,
        ge=16,
        description="Tokens a pair is cut to in training. Less is faster.",
        json_schema_extra=in_chinese("训练时一对文本截断到多少个 token；越短越快"),
    )
    batch_size: int = Field(
        32,
        ge=8,
        multiple_of=8,
        description="Pairs a step, a multiple of 8.",
        json_schema_extra=in_chinese("每步的（查询，段落）对数，8 的倍数"),
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="The peak; default: 2e-5, or 5e-5 for a base that is no cross-encoder yet.",
        json_schema_extra=in_chinese("峰值；默认 2e-5，基础模型还不是交叉编码器时 5e-5"),
    )
    held_out: int = Field(
        100,
        ge=1,
        description="Queries to judge the model by, in none of the training's pairs.",
        json_schema_extra=in_chinese("用来评判模型的查询数，训练中不用"),
    )
    evaluations: int = Field(
        4,
        ge=1,
        description="How often it is judged by them; each time leaves a checkpoint.",
        json_schema_extra=in_chinese("用它们评判几次；每次留下一个检查点"),
    )
    patience: int = Field(
        2,
        ge=1,
        description="Stop after so many evaluations in a row without a better one.",
        json_schema_extra=in_chinese("连续这么多次评判没有变好就停止"),
    )
    seed: int = Field(
        0, ge=0, description="Of the order of the pairs.", json_schema_extra=in_chinese("（查询，段落）对顺序的种子")
    )
    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:1, ...",
        json_schema_extra=in_chinese("`auto`、`cpu`、`cuda`、`cuda:1` 等"),
    )
    trust_remote_code: bool = Field(
        False,
        description="Run Python code that comes with a model. Off for a reason.",
        json_schema_extra=in_chinese("运行模型自带的 Python 代码。默认关闭是有原因的"),
    )

    # Output
    output: str = Field(
        min_length=1,
        description="The model's folder; it appears when the training has finished.",
        json_schema_extra=in_chinese("模型的目录；训练完成后才出现"),
    )
    work: str | None = Field(
        None,
        description="Where negatives and checkpoints are kept while it runs, and after a kill; OUTPUT.work.",
        json_schema_extra=in_chinese("运行时以及被中断后存放负例和检查点的目录；默认 OUTPUT.work"),
    )
    overwrite: bool = Field(
        False, description="Replace an existing model.", json_schema_extra=in_chinese("替换已有的模型")
    )

    @model_validator(mode="after")
    def _something_is_given(self) -> TrainOptions:
        if not (self.scored_pairs or self.mines):
            raise ValueError(
                f"no training data: give {parameter('input')} FOLDER, or {parameter('pairs')}, or "
                f"{parameter('corpus')}, {parameter('queries')} and {parameter('qrels')}, or "
                f"{parameter('scored_pairs')}"
            )
        return self

    @property
    def mines(self) -> bool:
        """Whether there are known positives, to mine negatives for."""
        return any(getattr(self, name) for name in ("input", "corpus", "queries", "qrels", "pairs"))

    @property
    def work_folder(self) -> str:
        return self.work or self.output.rstrip("/") + ".work"

    @property
    def base_spec(self) -> ModelSpec:
        return ModelSpec(
            "cross-encoder",
            self.base,
            max_length=self.max_length,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
        )

    def mining(self, run: str) -> dict[str, Any]:
        """Return the options of the run that mines the negatives: judged without a cross-encoder."""
        judge: Literal["bi-encoder"] = "bi-encoder"
        given = (*InputOptions.model_fields, "max_queries", "device", "trust_remote_code")
        return {name: getattr(self, name) for name in given} | {
            "bi_encoder": [self.bi_encoder],
            "judge": judge,
            "target_false_negative_rate": self.target_false_negative_rate,
            "negatives": self.negatives * self.rounds,
            "output": run,
        }
