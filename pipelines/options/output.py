"""The options of what is written, where, and how the work is cut."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hardneg.errors import parameter
from hardneg.pipelines.options.finished import FormatName
from hardneg.transforms.core.described import about
from hardneg.transforms.core.storage import is_local


class OutputOptions(BaseModel):
    """The output and the machinery; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str = Field(
        min_length=1,
        description="The folder to write; it appears when the run has finished.",
        json_schema_extra=about("要写入的目录；运行完成后才出现", group="output", default=("required", "必填")),
    )
    output_shards: int = Field(
        8,
        ge=1,
        le=100_000,
        description="Files per table: more for larger outputs, `1` for small ones; another number gives the same rows "
        "in other files.",
        json_schema_extra=about(
            "每个表的文件数：输出大就调大，输出小用 `1`；改变它只改变文件划分，不改变数据行", group="output"
        ),
    )
    overwrite: bool = Field(
        False,
        description="Replace an existing output; the old one is kept as `OUTPUT.old` (in an object store: deleted).",
        json_schema_extra=about("替换已有的输出；旧的保留为 `OUTPUT.old`（在对象存储中则删除）", group="output"),
    )
    format: list[FormatName] = Field(
        [],
        description="Write it in this form, too, into `OUTPUT/FORMAT`, as `hardneg export` does; may be repeated.",
        json_schema_extra=about(
            "同时写成这种格式，放在 `OUTPUT/FORMAT`，与 `hardneg export` 相同；可多次给出", group="output"
        ),
    )
    work: str | None = Field(
        None,
        description="The folder where indexes and embeddings are kept while it runs, and after a kill; on a larger "
        "disk.",
        json_schema_extra=about(
            "运行时以及被中断后存放索引和向量的工作目录；可放到更大的磁盘上",
            group="output",
            default=("`OUTPUT.work`", "`OUTPUT.work`"),
        ),
    )
    store: str | None = Field(
        None,
        description="A folder that keeps embeddings and logits for later runs, which compute only what is new: when "
        "you mine again after a change of data, options or model.",
        json_schema_extra=about(
            "长期保存向量和 logit 的目录，之后的运行只计算新的部分：数据、选项或模型改变后再次挖掘时使用",
            group="output",
            default=("none", "无"),
        ),
    )
    segments: int | None = Field(
        None,
        ge=1,
        description="Slices of the corpus; more for more workers or less memory.",
        json_schema_extra=about(
            "语料库的分段数；worker 更多或内存更小时调大",
            group="machinery",
            default=("one per 64 MB", "每 64 MB 一个"),
            file_only=True,
        ),
    )
    block_size: int = Field(
        256,
        ge=1,
        description="Queries that travel together; fewer for more workers.",
        json_schema_extra=about("一起传输的查询数；worker 更多时调小", group="machinery", file_only=True),
    )

    accelerator: str | None = Field(
        None,
        min_length=1,
        description="On Dataflow, what workers of the stages that run models have, in Beam's words: "
        "`type:nvidia-l4;count:1;install-nvidia-driver`. The other stages' workers stay without.",
        json_schema_extra=about(
            "在 Dataflow 上，运行模型的阶段的 worker 配什么加速器，按 Beam 的写法："
            "`type:nvidia-l4;count:1;install-nvidia-driver`；其他阶段的 worker 不配",
            group="machinery",
            file_only=True,
        ),
    )

    @model_validator(mode="after")
    def _folders_lie_apart(self) -> OutputOptions:
        given = (self.output, self.work_folder)
        # The work folder is deleted when the run has finished, and the output appears by a rename.
        output, work = (Path(path).resolve() if is_local(path) else PurePosixPath(path) for path in given)
        names = f"{parameter('output')} {given[0]} and {parameter('work')} {given[1]}"
        if output == work or output in work.parents or work in output.parents:
            raise ValueError(f"{names}: one lies in the other; keep them apart")
        if is_local(self.output) and not is_local(self.work_folder):
            raise ValueError(
                f"{parameter('output')} {given[0]} is a local folder, so {parameter('work')} {given[1]} must be one too"
            )
        return self

    @property
    def work_folder(self) -> str:
        return self.work or self.output.rstrip("/") + ".work"
