"""Fine-tuning a bi-encoder on one training set, and evaluating it: sentence-transformers' own classes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.training_args import BatchSamplers
from sentence_transformers.util import pairwise_cos_sim

from hardneg.transforms.models.backends.torch_backend import default_dtype
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.training.judge_training import keep_freed_memory

if TYPE_CHECKING:
    from benchmarks.training_value.articles.arms import Arm

CUTOFF = 10
MISSED = "."  # in place of a rank: not among the first ten
_RANKS = "123456789a"


@dataclass(frozen=True)
class Budget:
    """How long a training is, and what cosines are multiplied by in the loss."""

    batch_size: int
    max_length: int
    epochs: int
    learning_rate: float
    scale: float


def load(model: str) -> SentenceTransformer:
    """Return a bundled bi-encoder in float32, on a GPU if there is one."""
    folder = find_model(ModelSpec("bi-encoder", model))
    return SentenceTransformer(str(folder), local_files_only=True, model_kwargs={"dtype": "float32"})


def fine_tune(model: SentenceTransformer, arm: Arm, budget: Budget, seed: int, guide: str) -> None:
    """Train a model in place.

    Args:
        guide: the bi-encoder, untrained, that GIST's loss tells false negatives by.
    """
    if model.device.type == "cpu":
        keep_freed_memory()
    own_limit, model.max_seq_length = model.max_seq_length, budget.max_length
    loss = _loss(model, arm.loss, budget, guide)
    assert arm.rows is not None
    steps = -(-len(arm.rows) // budget.batch_size) * budget.epochs
    sampler = BatchSamplers.NO_DUPLICATES if arm.no_duplicates else BatchSamplers.BATCH_SAMPLER
    prompts = {"anchor": _prompt(model, "query"), "positive": _prompt(model, "passage", "document")}
    prompts["negative"] = prompts["positive"]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            num_train_epochs=budget.epochs,
            per_device_train_batch_size=budget.batch_size,
            learning_rate=budget.learning_rate,
            warmup_steps=max(1, steps // 10),
            # On CPUs float32, which all of them have: trainings of two machines are compared with each other.
            bf16=model.device.type != "cpu" and default_dtype(model.device.type) == "bfloat16",
            use_cpu=model.device.type == "cpu",
            batch_sampler=sampler,
            prompts={column: prompts[column] for column in arm.rows.column_names if prompts.get(column)} or None,
            seed=seed,
            data_seed=seed,
            save_strategy="no",
            logging_steps=max(1, steps // 4),
            report_to="none",
            disable_tqdm=True,
        )
        SentenceTransformerTrainer(model=model, args=arguments, train_dataset=arm.rows, loss=loss).train()
    model.max_seq_length = own_limit


def _loss(model: SentenceTransformer, name: str, budget: Budget, guide: str) -> torch.nn.Module:
    match name:
        case "gist":
            return losses.CachedGISTEmbedLoss(
                model, load(guide), temperature=1 / budget.scale, mini_batch_size=budget.batch_size
            )
        case "margin-mse":  # on scaled cosines: logits differ by ten and more, which plain cosines could not follow
            return losses.MarginMSELoss(model, lambda one, other: budget.scale * pairwise_cos_sim(one, other))
        case _:
            return losses.MultipleNegativesRankingLoss(model, scale=budget.scale)


def _prompt(model: SentenceTransformer, *names: str) -> str:
    return next((prompt for name in names if (prompt := model.prompts.get(name))), "")


class _Ranked(InformationRetrievalEvaluator):
    """Keeps the ranked lists that the figures are computed from."""

    results: Any = None

    def compute_metrics(self, queries_result_list: Any) -> Any:
        self.results = queries_result_list
        return super().compute_metrics(queries_result_list)


def evaluate(
    model: SentenceTransformer, corpus: dict[str, str], queries: dict[str, str], relevant: dict[str, set[str]]
) -> tuple[dict[str, float], str]:
    """Return nDCG@10, MRR@10 and recall@10 over a corpus; and each query's rank of its relevant passage, a character.

    Raises:
        ValueError: a query with more than one relevant passage, whose figures a rank would not tell.
    """
    if any(len(relevant[query]) != 1 for query in queries):
        raise ValueError("a test query must have one relevant passage")
    cut: dict[str, Any] = {"mrr_at_k": [CUTOFF], "ndcg_at_k": [CUTOFF], "accuracy_at_k": [CUTOFF], "map_at_k": [CUTOFF]}
    evaluator = _Ranked(dict(queries), dict(corpus), relevant, precision_recall_at_k=[CUTOFF], write_csv=False, **cut)
    found = evaluator(model)
    figures = {
        name: float(next(value for key, value in found.items() if key.endswith(name)))
        for name in ("ndcg@10", "mrr@10", "recall@10")
    }
    ranks = []
    for query, hits in zip(evaluator.queries_ids, evaluator.results, strict=True):
        ordered = [hit["corpus_id"] for hit in sorted(hits, key=lambda hit: (-hit["score"], hit["corpus_id"]))]
        place = next((place for place, passage in enumerate(ordered[:CUTOFF]) if passage in relevant[query]), None)
        ranks.append(MISSED if place is None else _RANKS[place])
    return figures, "".join(ranks)


def ndcg(ranks: str) -> list[float]:
    """Return the nDCG@10 of each query from its rank."""
    from math import log2

    return [0.0 if rank == MISSED else 1 / log2(_RANKS.index(rank) + 2) for rank in ranks]
