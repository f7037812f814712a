"""From the signals of a pair to one score, and from known positives to its threshold with a rate that can be stated."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibrated_judge": ["CalibratedJudge", "JudgeName", "Target", "conditions_of", "difficulty"],
        "calibration": ["calibrate", "check_judge", "estimated_gamma", "make_judge"],
        "counts": ["EDGES", "Counts", "Scale", "bins", "selection_counts", "edges"],
        "fallback": ["Fallback", "LocalRelevance", "ScoredCandidates", "fall_back", "local_relevance"],
        "false_negative_rate": ["MIN_POSITIVES", "Choice", "Estimate", "choose", "extract"],
        "gamma": ["GammaEstimate", "estimate_gamma"],
        "judge": [
            "Judge",
            "apply_judge",
            "cheap_scores",
            "complete_scores",
            "cross_fit",
            "fit_judge",
            "single_signal_judge",
        ],
        "leak_rate": ["clopper_pearson", "leak_rate_threshold"],
        "sample": ["SAMPLE", "SampleScores", "score_sample", "signals_of"],
        "sample_rows": ["SampleRows", "all_rows", "pairs_per_query", "sample_rows", "units_taken"],
        "seen_pairs": [
            "NO_DIGESTS",
            "SEEN",
            "Digests",
            "mark_seen",
            "marked_seen",
            "pair_digest",
            "pair_digests",
            "read_digests",
            "write_digests",
        ],
    },
)
