"""What is promised of a run's negatives, in a sentence."""

from __future__ import annotations

from typing import Any

from rich.text import Text


def denoising_text(denoising: dict[str, Any]) -> str | None:
    """Return the same without a style; None where nothing is promised."""
    if denoising.get("status") is None:
        return None
    figures, status, text = denoising["figures"], denoising["status"], denoising["reason"]
    text = text if text.startswith(status) else f"{status}: {text}"
    if denoising["threshold"] is not None:
        text += f" (threshold {denoising['threshold']:.4g} on the judge {denoising['judge']})"
    if figures.get("hardness") is not None:
        text += (
            f"; in the sample of {denoising['sample']['queries']:,} queries: yield {figures['yield']:.1%}, hardness "
            f"{figures['hardness']:.3f}"
        )
    return text + "."


def denoising_line(denoising: dict[str, Any]) -> Text | None:
    """Return what is promised of the negatives: always the status, and yield and hardness beside it."""
    text = denoising_text(denoising)
    return None if text is None else Text(text, style="yellow" if denoising["status"] == "unsupported" else "")
