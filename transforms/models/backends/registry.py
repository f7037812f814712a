"""The backends by name. To add one: its module, and its line here."""

from __future__ import annotations

import pkgutil

from hardneg.errors import ModelError
from hardneg.transforms.models.backends.backend import Backend

# Where each stands; imported when it is first asked for, for a backend brings its engine.
BACKENDS = {
    "torch": "hardneg.transforms.models.backends.torch_backend:TORCH",
}


def backend_named(name: str) -> Backend:
    """Return a backend.

    Args:
        name: of ``BACKENDS``; or ``package.module:OBJECT`` of one from elsewhere, which every worker can import.

    Raises:
        ModelError: there is none.
    """
    place = name if ":" in name else BACKENDS.get(name)
    if place is None:
        raise ModelError(
            f"There is no backend {name!r}: use one of {', '.join(BACKENDS)}, or package.module:OBJECT.", backend=name
        )
    try:
        return pkgutil.resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(f"The backend {name} could not be imported: {error}; install what it needs.") from error
