"""hardneg: denoised hard negatives for embedding models."""

__version__ = "0.1.0"
