"""Make what a refresh is tried on: a small collection, two tiny models, a file of options. Run by hardneg's Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))


def main(folder: Path) -> None:
    """Make it in a folder."""
    from refreshed import OPTIONS, Collection
    from tiny_models import save_spread, save_tiny_sentence_transformer

    options = OPTIONS | {
        "input": str(Collection(0).write(folder / "collection")),
        "bi_encoder": [str(save_tiny_sentence_transformer(folder / "bi"))],
        "cross_encoder": str(save_spread(folder / "cross")),
    }
    lines = [f"{name.replace('_', '-')} = {json.dumps(value)}" for name, value in options.items()]
    (folder / "nightly.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
