"""Input files: what a path stands for, which format it has, which column plays which part, and its rows as tables.

A new format of rows is a module in ``formats`` and a line in its registry; every command that reads files takes it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["columns", "synonyms"],  # for the audit and the training, which read triplets and pairs
    submod_attrs={
        "decided": ["decisions"],
        "evaluation_sets": ["NOTHING_HELD_OUT", "EvaluationSet", "Holdout", "held_out_of", "read_evaluation_sets"],
        "files": ["explaining", "first_line", "lines"],
        "formats.columnar": ["BATCH_ROWS", "ColumnarFormat"],
        "formats.parquet": ["opened_parquet"],
        "formats.registry": ["ROW_FORMATS", "format_of", "has_row_format", "place", "place_of", "register_row_format"],
        "formats.row_format": ["Head", "RowFormat"],
        "input_files": ["INVALID_UTF8", "LONE_SURROGATE", "WRONG_TYPE", "Columns", "InputFile"],
        "judgements": ["Judgements", "read_judgements", "read_text_keys"],
        "looking": ["look_into", "plan_files"],
        "marks": [
            *("MARKS", "NOTHING_MARKED", "MarkedPair", "Marks", "marks_of", "read_marked_pairs", "write_marked_pairs")
        ],
        "options": ["InputOptions"],
        "parsing": ["RejectedRowError", "parse_grade", "parse_text"],
        "paths": ["files_at", "files_in", "is_folder", "matching_files"],
        "planning": ["plan_beir", "plan_inputs"],
        "rejections": ["MAX_EMPTY", "Rejections", "counted", "how_to_go_on", "left_out", "too_many"],
        "rows": ["read_rows"],
        "trec_runs": ["read_run"],
        "trec_runs_stage": ["ReadRun"],
        "vectors": ["read_vectors"],
    },
)
