"""What is no negative, and why: masks, guards, thresholds, and the order in which candidates are tried.

A filter is one class (``Filter``) in a registry; ``docs/design.md`` says what else goes by the list.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "decisions": ["Decisions"],
        "filter": ["Candidates", "Filter"],
        "known": ["mask_known"],
        "margins": ["below_lowest_positive"],
        "near_duplicates": ["DEFAULT_CONTAINMENT"],
        "order": ["Order", "next_tries", "pair_lots", "select", "selection_order", "selection_score", "try_lazily"],
        "policy": ["Policy", "Rules"],
        "registry": ["FILTERS", "make_filters", "meanings", "register_filter"],
        "screening": ["Screened", "candidates_for", "screen"],
        "threshold": ["passes", "sigmoid_passes"],
        "verdicts": ["LIKE_A_POSITIVE", "Meaning", "Reason", "Verdict"],
    },
)
