"""A cross-encoder that a server runs, in the place of one that is loaded: what is asked, by HTTP, and tried again."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "client": ["KEY_VARIABLE", "Client", "TransientError"],
        "cross_encoder": ["RemoteCrossEncoder"],
        "forms": ["Api", "BadAnswerError", "form_of"],
        "spec": ["Backoff", "RemoteSpec"],
    },
)
