"""The model card of a trained cross-encoder: data, figures, limits, use."""

# ruff: noqa: E501 - paragraphs of Markdown

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardneg import __version__
from hardneg.transforms.training.judge_training import Trained, TrainingPlan
from hardneg.transforms.training.training_pairs import RERANKED, TrainingData

_INPUTS = ("input", "split", "corpus", "queries", "qrels", "pairs", "scored_pairs")


def card(options: Mapping[str, Any], plan: TrainingPlan, trained: Trained, data: TrainingData) -> str:
    """Return the README.md of a model's folder.

    Args:
        options: of the command.
        plan: of the training.
        trained: the model and its figures.
        data: what it learned from.
    """
    inputs = "\n".join(f"- `--{name.replace('_', '-')}`: `{options[name]}`" for name in _INPUTS if options[name])
    rounds = ", ".join(f"{len(table):,}" for table in data.rounds)
    retrieved = "" if trained.mrr_retrieved is None else f"| as retrieved | {trained.mrr_retrieved:.3f} |\n"
    better = trained.mrr_trained - trained.mrr_base
    return f"""---
base_model: {options["base"]}
pipeline_tag: text-ranking
library_name: sentence-transformers
tags:
  - cross-encoder
  - hardneg
---
# A cross-encoder trained by hardneg

Reads a query and a passage and returns one raw logit: how relevant the passage is. Made by `hardneg train-judge` (hardneg {__version__}) from `{options["base"]}`.

## Training
{inputs}

{data.pairs:,} pairs of (query, passage, score from 0 to 1), learned in their order ({rounds}), with binary cross-entropy: batches of {plan.batch_size}, peak learning rate {plan.learning_rate:g}, pairs of at most {options["max_length"]} tokens, word embeddings frozen; {trained.steps:,} steps, of which the model is that of step {trained.best_step:,}. Where known positives were given, the negatives are hardneg's own, mined, harder each round; what looks like an unlabelled positive was left out. `training_pairs.npy` has the digests of the pairs, so that a calibration on the same pairs can say so.

## Figures
{len(data.held_out):,} queries that are in none of the pairs, re-ranked among the first {RERANKED} passages retrieved for each and its positives, or among what was scored for it; MRR@10:

| order | MRR@10 |
|---|---|
{retrieved}| by the base | {trained.mrr_base:.3f} |
| by this model | {trained.mrr_trained:.3f} ({better:+.3f} against the base) |

The step was chosen by these very queries, so the last figure is a little flattered.

## Limits
It knows the kind of text that it was trained on. Its sigmoid is not a probability: let `hardneg` calibrate a threshold. Longer pairs than those of the training can be read, and were not learned.

## Licences
Weights: those of the base. Name the licences of your data here before you publish the model.
"""
