"""A finished run in the forms that trainers take: each is a ``Format`` in a file of its own, registered by name."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "choice": ["CHOICE_COLUMNS", "ChoiceOptions", "Chosen", "choose_pairs", "with_texts"],
        "files": ["export_file_name", "export_manifest", "shard_bytes", "write_export_card", "write_part"],
        "format": ["Format"],
        "registry": ["export_formats", "format_named", "register_format"],
        "scattered": ["ScatteredViews"],
        "view": [
            "View",
            "clash_keys",
            "keys_of_positives",
            "keys_of_queries",
            "lists",
            "lists_of",
            "logits_of",
            "owners_of",
            "place_in_query",
            "positives_then_negatives",
            "query_column",
            "ragged",
            "ranges",
            "rows_of_size",
            "text_columns",
        ],
    },
)
