"""The options of the models that run: the cross-encoder's own, and what holds for all of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hardneg.pipelines.options.served import RemoteOptions
from hardneg.transforms.core.described import about
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec

_LIMIT = ("the model's, at most 512", "模型上限，至多 512")


class ModelOptions(RemoteOptions):
    """Models and how they run; a field's name with dashes is its option."""

    cross_encoder: str = Field(
        "bundled",
        description="As a rule, the judge's strongest signal: a Hugging Face id (with @revision), a folder, `bundled`, "
        "or the address of a served one (http://...).",
        json_schema_extra=about(
            "通常是裁判最强的信号：Hugging Face id（可带 @revision）、目录、`bundled`，或已在服务的地址（http://...）",
            group="judge",
        ),
    )
    cross_encoder_prompt: list[str] = Field(
        [],
        description="Put before the query and, given twice, before the passage, for the cross-encoder.",
        json_schema_extra=about(
            "交叉编码器：加在查询前；给两次时，第二个加在段落前", group="models", default=("none", "无")
        ),
    )
    cross_encoder_max_length: int | None = Field(
        None,
        ge=16,
        description="Tokens to which a pair is cut; less is faster, the manifest shows what it cuts.",
        json_schema_extra=about(
            "（查询，段落）对截断到多少个 token；越小越快，manifest 会显示截断比例", group="models", default=_LIMIT
        ),
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="`float32`: full precision, slower. `auto` is bfloat16 where the processor or GPU has units for "
        "it, float16 on older GPUs, else float32.",
        json_schema_extra=about(
            "`float32`：精度最高，但更慢。`auto` 在处理器或 GPU 有相应单元时用 bfloat16，较老的 GPU 用 float16，"
            "否则用 float32",
            group="models",
        ),
    )
    device: str = Field(
        "auto",
        description="`cpu`, `cuda`, `cuda:1`, ...",
        json_schema_extra=about("`cpu`、`cuda`、`cuda:1` 等", group="models"),
    )
    trust_remote_code: bool = Field(
        False,
        description="A model comes with Python code of its own, and you have read it.",
        json_schema_extra=about("模型自带 Python 代码，而你已经读过", group="models"),
    )
    allow_unknown_tokens: bool = Field(
        False,
        description="Go on with a model that cannot read the corpus's language.",
        json_schema_extra=about("模型不认识语料库的语言，但仍要继续", group="models"),
    )

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
