"""A store's lock in an object store: put on a condition, which Beam's filesystems cannot do; ``obstore`` can.

A lock is created only where there is none (``If-None-Match: *``), and renewed or taken over only where it is still the
one that was read (``If-Match``). S3, its look-alikes, Google's and Azure's stores keep to these conditions.
"""

from __future__ import annotations

from typing import Any

from hardneg.errors import OptionError, ServiceError, parameter
from hardneg.transforms.inputs.files import first_line


class ObjectLock:
    """A lock in an object store; its version is its e-tag and, where the store has them, its version number."""

    def __init__(self, store: str, name: str) -> None:
        """Find the store.

        Args:
            store: ``s3://...``, ``gs://...`` or whatever else ``obstore`` knows; access is found as its own client
                finds it, in the environment or on the machine.
            name: of the lock in it.

        Raises:
            OptionError: ``obstore`` is not installed, or does not know such stores.
        """
        self.path = f"{store.rstrip('/')}/{name}"
        self._name = name
        try:
            import obstore
            from obstore.store import from_url
        except ImportError:
            raise OptionError(
                f"{parameter('store')} {store}: a lock in an object store needs obstore; run: pip install "
                "'hardneg[refresh-cloud]'."
            ) from None
        self._client: Any = obstore
        try:
            self._store: Any = from_url(store)
        except Exception as error:  # the client has exceptions of its own
            raise OptionError(
                f"{parameter('store')} {store}: there can be no lock in such a store ({first_line(error)})."
            ) from None

    def read(self) -> tuple[bytes, object] | None:
        try:
            found = self._client.get(self._store, self._name)
            return bytes(found.bytes()), self._version(found.meta)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._unreachable(error) from error

    def create(self, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError

        try:
            self._client.put(self._store, self._name, data, mode="create")
        except AlreadyExistsError:
            return False
        except Exception as error:
            raise self._unreachable(error) from error
        return True

    def replace(self, data: bytes, version: object) -> bool:
        from obstore.exceptions import NotFoundError, PreconditionError

        try:
            self._client.put(self._store, self._name, data, mode=version)
        except (NotFoundError, PreconditionError, FileNotFoundError):
            return False
        except Exception as error:
            raise self._unreachable(error) from error
        return True

    def remove(self, version: object) -> None:
        """Delete the lock if it is still that one; between the look and the deletion its lease keeps others away."""
        if (now := self.read()) is not None and now[1] == version:
            self._client.delete(self._store, self._name)

    @staticmethod
    def _version(meta: Any) -> dict[str, str]:
        told = {"e_tag": meta.get("e_tag"), "version": meta.get("version")}
        return {name: value for name, value in told.items() if value is not None}

    def _unreachable(self, error: Exception) -> ServiceError:
        return ServiceError(f"{self.path} can't be reached ({first_line(error)}); check the address and your access.")
