"""From the signals of a pair to one score, and from known positives to its threshold with a rate that can be stated."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibrated_judge": ["CalibratedJudge", "JudgeName", "Target", "conditions_of", "difficulty"],
        "calibration": ["calibrate", "check_judge", "estimated_gamma", "make_judge"],
        "counts": ["Counts", "Scale", "count", "edges"],
        "false_negative_rate": ["Choice", "Estimate", "choose", "extract"],
        "gamma": ["GammaEstimate", "estimate_gamma"],
        "judge": ["Judge", "apply_judge", "cheap_scores", "complete_scores", "cross_fit", "fit_judge"],
        "leak_rate": ["clopper_pearson", "leak_rate_threshold"],
        "sample": ["SAMPLE", "SampleScores", "score_sample", "signals_of"],
        "seen_pairs": ["SEEN", "mark_seen", "marked_seen", "pair_digest", "pair_digests", "write_digests"],
    },
)
