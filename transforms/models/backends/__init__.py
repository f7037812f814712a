"""What computes a model's network, from padded token ids to float32: one module an engine, and its line in BACKENDS."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"backend": ["Backend", "Encoder"], "registry": ["BACKENDS", "backend_named"]}
)
