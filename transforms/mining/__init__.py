"""Blocks judged and their negatives chosen: scores asked for only where they are needed, then rows of the output."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibrate_stage": ["Calibrate", "ScoreSample"],
        "job": ["Job", "in_sample"],
        "judging": ["Judged", "judge_block"],
        "mine_stage": ["MineBlocks"],
        "pair_scores": ["PairScores", "Score"],
        "rows": ["Mined", "mine_block"],
        "sampling": ["Sampled", "sample_block"],
        "stored_logits": ["StoredLogits"],
    },
)
