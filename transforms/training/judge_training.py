"""Training a cross-encoder with sentence-transformers' CrossEncoderTrainer, on one machine."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch

from hardneg.errors import ModelError, parameter
from hardneg.transforms.models.backends.torch_backend import default_dtype
from hardneg.transforms.models.files import LOAD_ERRORS, find_model
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.models.tokens import check_tokenizer, token_limit
from hardneg.transforms.training.training_pairs import HeldOutQuery, TrainingData

NAME = "held_out"
METRIC = f"{NAME}_mrr@10"
_SORTED_BATCHES = 64  # batches that are sorted by length together: nearly no padding, and still shuffled
_BEFORE = "base.json"  # what the base makes of the held-out queries
_EVALUATED_ROWS = 16
# Of a step's pairs, so many are computed together on a CPU: the tensors of 32 long pairs are so large that the C
# library hands their memory back each time, and a quarter of the time went into page faults.
_CPU_ROWS = 8
# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


class Watcher(Protocol):
    """Who is told how a training goes on, the mining of its negatives included."""

    def mining(self, work: str) -> AbstractContextManager[None]: ...

    def step(self, done: int, of: int) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True)
class TrainingPlan:
    """How a cross-encoder is trained.

    Attributes:
        base: the model to start from, as ``ModelSpec``; ``max_length`` is that of the training's pairs.
        folder: for checkpoints; a training that was cut off goes on from the last one in it.
        batch_size: pairs a step; above 8, a multiple of 8.
        learning_rate: the peak; a tenth of the steps lead up to it, the others down to zero.
        evaluations: how often the held-out queries are re-ranked.
        patience: evaluations without a better MRR after which it stops.
        seed: of the batches' order.
    """

    base: ModelSpec
    folder: Path
    batch_size: int = 32
    learning_rate: float = 5e-5
    evaluations: int = 4
    patience: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A trained model, on the CPU, and what the held-out queries say of it: MRR@10 of three orders.

    Of scored pairs there is no retriever's order. ``limit`` is how many tokens of a pair the base reads, however long
    those of the training were: what stands behind the cut may be the answer.
    """

    model: Any
    tokenizer: Any
    limit: int
    mrr_retrieved: float | None
    mrr_base: float
    mrr_trained: float
    steps: int
    best_step: int


def train(plan: TrainingPlan, data: TrainingData, watcher: Watcher) -> Trained:
    """Train on the rounds in their order, and return the checkpoint that re-ranks the held-out queries best.

    Word embeddings stay as they are: the pairs hold few of the words, and the others should not drift away from
    them. Without dropout, because fast attention on a CPU has none.

    Raises:
        HardnegError: the base cannot be loaded.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback

    model, limit = load(plan.base)
    if model.device.type == "cpu":
        keep_freed_memory()
    judge_by = evaluator(data.held_out)
    before = _kept(plan.folder / _BEFORE, lambda: judge_by(model))
    retrieved = float(before[f"{NAME}_base_mrr@10"]) if data.retrieved else None
    watcher.note(f"MRR@10 of the held-out queries by the base: {before[METRIC]:.3f}")
    trainer = _trainer(plan, data, model, judge_by, [EarlyStoppingCallback(plan.patience), _telling(watcher)])
    trainer.remove_callback(PrinterCallback)
    checkpoint = _last_checkpoint(plan.folder)
    if checkpoint:
        watcher.note(f"goes on from step {Path(checkpoint).name.rpartition('-')[2]}")
    trainer.train(resume_from_checkpoint=checkpoint)
    best = trainer.state.best_metric
    return Trained(
        model=trainer.model.model.float().cpu(),
        tokenizer=trainer.model.tokenizer,
        limit=limit,
        mrr_retrieved=retrieved,
        mrr_base=float(before[METRIC]),
        mrr_trained=float(best) if best is not None else float(judge_by(trainer.model)[METRIC]),
        steps=trainer.state.global_step,
        best_step=trainer.state.best_global_step or trainer.state.global_step,
    )


def keep_freed_memory() -> bool:
    """Make this process keep the memory that it frees, and return whether that could be done: it can with glibc.

    By default, glibc hands each large block back to the system when it is freed; the next one comes as pages of zeros
    that the kernel must clear first. In training on a CPU every step does so for all activations.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        tune = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(tune(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**28)))


def load(spec: ModelSpec) -> tuple[Any, int]:
    """Return a base as a sentence-transformers CrossEncoder with one output, in float32; and its own token limit.

    A base without such an output, a bare encoder, gets a new one. The model cuts pairs to the specified length.

    Raises:
        HardnegError: it cannot be loaded, or cannot give one score.
    """
    from sentence_transformers import CrossEncoder

    spec = spec.resolved()
    folder = find_model(spec)
    # On a CPU, attention as plain matrix products is twice as fast in training as the fused one.
    attention = {"attn_implementation": "eager"} if spec.device == "cpu" else {}
    try:
        model = CrossEncoder(
            str(folder),
            num_labels=1,
            device=spec.device,
            trust_remote_code=spec.trust_remote_code,
            local_files_only=True,
            activation_fn=torch.nn.Identity(),
            model_kwargs={
                "dtype": torch.float32,
                "use_safetensors": True,
                "ignore_mismatched_sizes": True,
                **attention,
            },
        )
    except LOAD_ERRORS as error:
        raise ModelError(f"{parameter('base')} {spec.model}: {folder} could not be loaded: {error}") from error
    check_tokenizer(spec, model.tokenizer)
    positions = getattr(model.config, "max_position_embeddings", None)
    own_limit = token_limit(replace(spec, max_length=None), model.tokenizer.model_max_length, positions)
    model.max_length = token_limit(spec, own_limit)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.model.get_input_embeddings().requires_grad_(False)
    return model, own_limit


def evaluator(held_out: Sequence[HeldOutQuery]) -> Any:
    """Return the function from a model to the metrics of re-ranking the held-out queries."""
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

    samples = [
        {"query": each.query, "positive": each.positives, "documents": each.documents or each.positives}
        for each in held_out
    ]

    class Evaluator(CrossEncoderRerankingEvaluator):
        def __call__(self, model: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            device = model.device.type
            with torch.autocast(device, dtype=torch.bfloat16, enabled=default_dtype(device) == "bfloat16"):
                return super().__call__(model, *args, **kwargs)

    return Evaluator(
        samples,  # type: ignore[arg-type]  # documents are lists
        at_k=10,
        name=NAME,
        batch_size=_EVALUATED_ROWS,
        show_progress_bar=False,
        write_csv=False,
    )


def _kept(path: Path, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return the figures in a file, or measure them and write it."""
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    figures = {name: float(value) for name, value in measure().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures), encoding="utf-8")
    return figures


def _trainer(plan: TrainingPlan, data: TrainingData, model: Any, judge_by: Any, callbacks: list[Any]) -> Any:
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    ends = np.cumsum([0, *(len(table) for table in data.rounds)]).tolist()
    table = pa.concat_tables(data.rounds).rename_columns(["query", "passage", "label"])
    steps = max(1, -(-len(table) // plan.batch_size))
    every = -(-steps // plan.evaluations)  # rounded up: the last step is evaluated in any case
    cpu = model.device.type == "cpu"
    at_once = min(plan.batch_size, _CPU_ROWS) if cpu else plan.batch_size
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(plan.folder),
        num_train_epochs=1,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=plan.batch_size // at_once,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=max(1, steps // 10),
        weight_decay=0.01,
        bf16=default_dtype(model.device.type) == "bfloat16",
        use_cpu=cpu,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{METRIC}",
        greater_is_better=True,
        logging_steps=max(1, min(50, every)),
        disable_tqdm=True,
        report_to="none",
        seed=plan.seed,
        data_seed=plan.seed,
        batch_sampler=Rounds(ends, table, plan.seed),
    )
    return CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset(table),
        loss=BinaryCrossEntropyLoss(model),
        evaluator=judge_by,
        callbacks=callbacks,
    )


def _telling(watcher: Watcher) -> Any:
    """Return the callback that passes on how far the training is."""
    from transformers import TrainerCallback

    class Telling(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watcher.step(state.global_step, state.max_steps)

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            loss = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), float("nan"))
            watcher.note(f"step {state.global_step:,}: loss {loss:.3f}, MRR@10 {metrics[f'eval_{METRIC}']:.3f}")

    return Telling()


class Rounds:
    """Makes the batch sampler: rounds in their order, shuffled within, batches of like length."""

    def __init__(self, ends: list[int], table: pa.Table, seed: int) -> None:
        self._ends, self._seed = ends, seed
        lengths = [pa.compute.utf8_length(table[name]).to_numpy() for name in ("query", "passage")]
        self._lengths = lengths[0] + lengths[1]

    def __call__(self, dataset: Any, batch_size: int, **_: Any) -> Any:
        from sentence_transformers.sampler import DefaultBatchSampler

        batches = list(self.batches(batch_size))

        class Sampler(DefaultBatchSampler):
            def __iter__(self) -> Iterator[list[int]]:
                yield from batches

            def __len__(self) -> int:
                return len(batches)

        return Sampler(dataset, batch_size=batch_size, drop_last=False)

    def batches(self, batch_size: int) -> Iterator[list[int]]:
        """Yield the row numbers of each batch, the same for the same seed."""
        generator = np.random.default_rng(self._seed)
        for start, end in zip(self._ends, self._ends[1:], strict=False):
            order = start + generator.permutation(end - start)
            for first in range(0, len(order), batch_size * _SORTED_BATCHES):
                group = order[first : first + batch_size * _SORTED_BATCHES]
                group = group[np.argsort(self._lengths[group], kind="stable")]
                cuts = list(range(0, len(group), batch_size))
                for cut in generator.permutation(len(cuts)):
                    yield group[cuts[cut] : cuts[cut] + batch_size].tolist()


def _last_checkpoint(folder: Path) -> str | None:
    from transformers.trainer_utils import get_last_checkpoint

    return get_last_checkpoint(str(folder)) if folder.is_dir() else None
