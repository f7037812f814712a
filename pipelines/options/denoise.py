"""The options that decide what a negative is: targets, thresholds, guards, order, judge."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hardneg.errors import parameter
from hardneg.transforms.core.described import about
from hardneg.transforms.core.tokenization import TokenizerSpec
from hardneg.transforms.filters.near_duplicates import DEFAULT_CONTAINMENT
from hardneg.transforms.filters.order import Order
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.filters.registry import FILTERS, make_filters
from hardneg.transforms.judge.calibrated_judge import JudgeName, Target

DEFAULT_TARGET = 0.02
_NONE = ("none", "无")
# What decides; giving any of them replaces all that a former run had.
THRESHOLDS = (
    "target_false_negative_rate",
    "target_leak_rate",
    "judge_file",
    *(name for kind in FILTERS.values() if kind.instead_of_target for name in kind.options),
)


def _share_or_off(value: Any) -> Any:
    if value == "off":
        return value
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError("it is a share above 0 and at most 1, or off")
    return share


def _order(value: str) -> str:
    order, colon, seed = value.partition(":")
    if order not in get_args(Order) or (colon and not (order == "random" and re.fullmatch(r"[0-9]+", seed))):
        raise ValueError("it is similarity, fused, judge or random, or random:SEED with a whole number")
    return value


def _ranks(value: str) -> str:
    match = re.fullmatch(r"([0-9]*):([0-9]*)", value)
    if not match or not any(match.groups()):
        raise ValueError("it is FIRST:LAST, with one of them left out if need be (5:100, 5:, :100)")
    first, last = int(match.group(1) or 1), int(match.group(2)) if match.group(2) else None
    if first < 1 or (last is not None and last < first):
        raise ValueError("ranks begin at 1, and the last is not before the first")
    return value


def _group(value: str) -> str:
    column, _, use = value.rpartition(":")
    if not column or use not in ("allow", "forbid", "suspect"):
        raise ValueError("it is COLUMN:forbid, COLUMN:suspect or COLUMN:allow")
    return value


class DenoiseOptions(BaseModel):
    """What makes a candidate a negative; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target_false_negative_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="The share of relevant passages among the mined that you accept: the most permissive threshold "
        "whose upper bound keeps to it.",
        json_schema_extra=about(
            "你能接受挖出的负例中有多大比例实际相关：取上界不超过它的最宽松的阈值",
            group="judge",
            default=(
                f"{DEFAULT_TARGET:g}, if no other threshold is given",
                f"{DEFAULT_TARGET:g}（没有给出其他阈值时）",
            ),
        ),
    )
    target_leak_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Too few known positives for a false-negative rate: the share of relevant passages that the "
        "threshold may let pass.",
        json_schema_extra=about(
            "已知正例太少，支持不了假负例率：相关段落中允许通过阈值的比例", group="judge", default=_NONE
        ),
    )
    judge: JudgeName | None = Field(
        None,
        description="What is thresholded. `combined`: all signals; `cross-encoder`: its logit alone; `bi-encoder`: the "
        "first similarity alone, so that no cross-encoder runs.",
        json_schema_extra=about(
            "阈值针对什么。`combined`：所有信号；`cross-encoder`：只看它的 logit；`bi-encoder`："
            "只看第一个双塔模型的相似度，不必运行交叉编码器",
            group="judge",
            default=(
                "`combined` with a target, `cross-encoder` with a threshold on its score, else `bi-encoder`",
                "有目标时 `combined`；阈值针对交叉编码器分数时 `cross-encoder`；否则 `bi-encoder`",
            ),
        ),
    )
    gamma: float | None = Field(
        None,
        ge=1,
        allow_inf_nan=False,
        description="How much easier to mine unlabelled relevant passages may be than labelled ones: higher, if your "
        "labels are the easy part of what is relevant; `1`, if they are a random part.",
        json_schema_extra=about(
            "漏标的相关段落比已标注的容易挖到多少倍：标注的都是容易的那一部分，就调大；标注是随机的一部分，可设为 `1`",
            group="judge",
            default=("estimated, at least 1.25", "由数据估计，至少 1.25"),
        ),
    )
    judge_file: str | None = Field(
        None,
        description="An earlier `judge.json`, its judge and its threshold taken as they are: for a refresh.",
        json_schema_extra=about(
            "以前的 `judge.json`，裁判和阈值原样使用：用于数据更新后重跑", group="judge", default=_NONE
        ),
    )
    calibration_queries: int = Field(
        400,
        ge=1,
        description="Queries of the calibration sample. More, if the target is unsupported for want of positives; "
        "fewer for a quick trial: each costs about six times --negatives pairs.",
        json_schema_extra=about(
            "校准样本的查询数。因正例不够而 unsupported 时调大；快速试跑时调小：每个查询约打分 6 倍 --negatives 对",
            group="judge",
        ),
    )
    max_sigmoid: float | None = Field(
        None,
        gt=0,
        le=1,
        description="RocketQA's rule (0.1): the sigmoid of the logit is below this. It means something else for each "
        "cross-encoder: look at the logits of your positives in `candidates/` first.",
        json_schema_extra=about(
            "RocketQA 的做法（0.1）：logit 的 sigmoid 要低于它。同一个数对不同的交叉编码器含义不同：请先看看 "
            "`candidates/` 中正例的 logit",
            group="judge",
            default=_NONE,
        ),
    )
    absolute_margin: float | None = Field(
        None,
        ge=0,
        description="A rule used on MS MARCO (3.0): logits this far below the query's lowest positive.",
        json_schema_extra=about(
            "MS MARCO 上常见的做法（3.0）：logit 要比该查询得分最低的正例低这么多", group="judge", default=_NONE
        ),
    )
    relative_margin: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="NV-Retriever's rule (0.05): similarities this share below the query's lowest positive. Alone, it "
        "runs no cross-encoder.",
        json_schema_extra=about(
            "NV-Retriever 的做法（0.05）：相似度要比该查询得分最低的正例低这个比例。单独使用时不运行交叉编码器",
            group="judge",
            default=_NONE,
        ),
    )
    min_sigmoid: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Leave out negatives that are too easy to learn from: the sigmoid of the logit is not below this.",
        json_schema_extra=about(
            "去掉太容易、学不到东西的负例：logit 的 sigmoid 不低于它", group="judge", default=_NONE
        ),
    )
    near_duplicates: Annotated[float | Literal["off"], BeforeValidator(_share_or_off)] = Field(
        DEFAULT_CONTAINMENT,
        description="From which share of the shorter text's runs of 4 words (Chinese: 5 characters) in the other, "
        "too, a candidate repeats a positive; lower drops more. `off`: texts that differ in a word are good "
        "negatives here, as in filled-in forms.",
        json_schema_extra=about(
            "候选与正例中较短的文本，其连续 4 个词（中文为 5 个字）的片段有多大比例也出现在另一方，就算近似重复；"
            "越低，剔除越多。`off`：只差一个词的文本正是好负例，例如按同一模板填写的文本",
            group="guards",
        ),
    )
    group: Annotated[str, AfterValidator(_group)] | None = Field(
        None,
        description="The corpus is cut into chunks. `COLUMN:forbid`: the column that names their document, and no "
        "chunk of a positive's own document is a negative; `COLUMN:suspect`: it is a suspected positive; "
        "`COLUMN:allow`: it may be a negative, where neighbours do not answer the query too.",
        json_schema_extra=about(
            "语料库是切块后的文档。`COLUMN:forbid`：COLUMN 是标明所属文档的列，正例所在文档的其他块不作负例；"
            "`COLUMN:suspect`：算疑似正例；`COLUMN:allow`：相邻的块不能回答查询时，允许作负例",
            group="guards",
            default=_NONE,
        ),
    )
    filter: dict[str, dict[str, Any]] = Field(
        {},
        description="Filters from outside the package, with their settings, by their reason: a table "
        "`[filter.REASON]`. Beam's workers must be able to import them.",
        json_schema_extra=about(
            "包外的过滤器及其设置，按 reason 写成表格 `[filter.REASON]`。Beam 的 worker 必须能导入它们",
            group="guards",
            default=_NONE,
            file_only=True,
        ),
    )
    holdout: list[str] = Field(
        [],
        description="Evaluation sets (BEIR folders, qrels, files of texts): their queries are not mined, their gold "
        "passages in no triplet. `FOLDER:SPLIT` names the qrels of a folder that has several. May be repeated.",
        json_schema_extra=about(
            "评测集（BEIR 目录、qrels、文本文件）：其中的查询不挖，标准答案段落不进入任何三元组。目录里有几个 qrels "
            "时写 `FOLDER:SPLIT`。可多次给出",
            group="guards",
        ),
    )
    marks: list[str] = Field(
        [],
        description="Pairs that a person marked: a sheet of `hardneg evaluate --draw`, or a file with `query_id`, "
        "`passage_id` and `relevant`. Relevant ones are no negatives. May be repeated.",
        json_schema_extra=about(
            "有人标过的对：`hardneg evaluate --draw` 的表格，或含 `query_id`、`passage_id` 和 `relevant` 的文件。"
            "标为相关的不作负例。可多次给出",
            group="guards",
        ),
    )
    negatives: int = Field(
        5,
        ge=1,
        description="Negatives per query.",
        json_schema_extra=about("每个查询的负例数", group="selection"),
    )
    order: Annotated[str, AfterValidator(_order)] = Field(
        "similarity",
        description="By the first bi-encoder. `fused`: what all retrievers agree on; `judge`: the highest judge score "
        "that passes, scores every candidate; `random`: not only the hardest, `random:SEED` for another lot.",
        json_schema_extra=about(
            "按第一个双塔模型的相似度。`fused`：按所有检索器融合后的名次；`judge`：在通过的候选中取裁判分数最高的，"
            "所有候选都要打分；`random`：不只要最难的，`random:SEED` 换一种随机顺序",
            group="selection",
        ),
    )
    ranks: Annotated[str, AfterValidator(_ranks)] | None = Field(
        None,
        description="`FIRST:LAST`, the fused ranks to mine from, before anything is scored. `5:` leaves out the "
        "best, if unlabelled positives stand there; `:100` leaves out the rest.",
        json_schema_extra=about(
            "`FIRST:LAST`：只从这一段融合名次中挖，在打分之前就剔除其余。漏标的正例集中在最前面时，用 `5:` 跳过它们；"
            "`:100` 舍弃靠后的名次",
            group="selection",
            default=("all", "全部"),
        ),
    )
    score: Literal["lazy", "all"] = Field(
        "lazy",
        description="`all`: score every retrieved candidate, so that `mine --from` never lacks one; the triplets stay "
        "the same, in an order that knows of more suspected positives; the cost is many times higher.",
        json_schema_extra=about(
            "`all`：给所有召回的候选打分，这样 `mine --from` 就不会缺分数；三元组不变，只是排列时避开更多疑似正例；"
            "开销成倍增加",
            group="selection",
        ),
    )
    relabel_suspected: bool = Field(
        False,
        description="Few labels a query, and `suspect_pairs/` looks right: suspected positives become positives of the "
        "triplets.",
        json_schema_extra=about(
            "每个查询标注很少，而 `suspect_pairs/` 看起来没错：把疑似正例也作为三元组的正例", group="selection"
        ),
    )
    drop_weak_positives: bool = Field(
        False,
        description="Noisy labels: known positives that score like negatives are left out of the triplets.",
        json_schema_extra=about("标注有噪声：分数像负例的已知正例不写入三元组", group="selection"),
    )

    @model_validator(mode="after")
    def _thresholds_fit(self) -> DenoiseOptions:
        if self.judge_file:
            for name in ("target_false_negative_rate", "target_leak_rate", "gamma"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{parameter('judge_file')} brings its own threshold, so {parameter(name)} has nothing to "
                        "decide; give one of them"
                    )
        if self.max_sigmoid is not None and self.min_sigmoid is not None and self.max_sigmoid <= self.min_sigmoid:
            raise ValueError(f"no sigmoid is both below {self.max_sigmoid:g} and not below {self.min_sigmoid:g}")
        return self

    @property
    def group_column(self) -> str | None:
        """The corpus column whose passages of one value are parts of one document."""
        return self.group.rpartition(":")[0] if self.group else None

    def _parts(self) -> dict[str, Any]:
        """Return the settings of filters that are written as one option, by their own names."""
        column, _, use = (self.group or "").rpartition(":")
        first, _, last = (self.ranks or ":").partition(":")
        return {
            "group_column": column or None,
            "same_group": use or None,
            "min_rank": int(first or 1),
            "max_rank": int(last) if last else None,
            "near_duplicates": None if self.near_duplicates == "off" else self.near_duplicates,
        }

    @property
    def target(self) -> Target:
        """What is asked of the judge."""
        others = (self.target_leak_rate, self.max_sigmoid, self.absolute_margin, self.relative_margin, self.judge_file)
        rate = self.target_false_negative_rate
        if rate is None and all(value is None for value in others):
            rate = DEFAULT_TARGET
        wanted = rate is not None or self.target_leak_rate is not None
        by_logit = (self.max_sigmoid, self.min_sigmoid, self.absolute_margin)
        # A margin on the similarity needs no cross-encoder, so none runs unless it is asked for.
        alone: JudgeName = "bi-encoder" if all(value is None for value in by_logit) else "cross-encoder"
        return Target(self.judge or ("combined" if wanted else alone), rate, self.target_leak_rate, self.gamma)

    def policy_with(self, min_relevance: float, tokenizer: TokenizerSpec, pass_through: tuple[str, ...]) -> Policy:
        """Return the policy, with what belongs to the input and to BM25."""
        order, _, seed = self.order.partition(":")
        return Policy(
            negatives=self.negatives,
            order=cast(Order, order),
            seed=int(seed or 0),
            min_relevance=min_relevance,
            score_all=self.score == "all",
            filters=make_filters({**dict(self), **self._parts(), "tokenizer": tokenizer}),
            relabel_suspected=self.relabel_suspected,
            drop_weak_positives=self.drop_weak_positives,
            pass_through=pass_through,
        )
