"""A cross-encoder trained as a judge: pairs from a run or from scored files, the training, the model"s card."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "judge_card": ["card"],
        "judge_training": ["Rounds", "Trained", "TrainingPlan", "Watcher", "keep_freed_memory", "train"],
        "scored_pairs": ["read_scored_pairs"],
        "training_pairs": ["PAIRS", "RERANKED", "HeldOutQuery", "TrainingData", "pairs_of_run", "pairs_of_tables"],
    },
)
