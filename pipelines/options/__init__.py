"""What may be asked of each command: options typed, described in two languages, and checked once, early."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "command_line": [
            "CONFIG",
            "DRY_RUN",
            "NO_WAIT",
            "arguments_of",
            "config_of_arguments",
            "option_of",
            "refuse_unwritten",
            "told_to_mine",
        ],
        "denoise": ["DenoiseOptions"],
        "files": ["checked", "problems_of"],
        "finished": [
            "AUDIT_DEFAULTS",
            "EVALUATE_DEFAULTS",
            "REPORT",
            "REPORT_DEFAULTS",
            "AuditOptions",
            "EvaluateOptions",
            "ExportOptions",
            "ReportOptions",
        ],
        "former": ["upgraded"],
        "mine": ["MineConfig"],
        "stored": ["config_of"],
        "train": ["TrainOptions"],
    },
)
