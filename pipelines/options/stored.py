"""The options that a finished run was mined with, read back from its manifest."""

from __future__ import annotations

from pydantic import ValidationError

from hardneg.errors import RunError
from hardneg.pipelines.options.files import problems_of
from hardneg.pipelines.options.former import upgraded
from hardneg.pipelines.options.mine import MineConfig
from hardneg.transforms.core import storage
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.manifest import MANIFEST

# What says where a run was written, or what it was mined from; it plays no part in what a run is.
_ASIDE = {"output": "report", "work": None, "from_run": None, "score_missing": False}


def config_of(run: FinishedRun) -> MineConfig:
    """Return a run's options; folders play no part.

    Raises:
        RunError: they are of another version.
    """
    try:
        return MineConfig.model_validate({**upgraded(run.options), **_ASIDE})
    except ValidationError as error:
        raise RunError(
            f"{storage.join(run.path, MANIFEST)} has options that this version of hardneg does not take: mine again, "
            f"or report with the version that mined. {problems_of(error)}",
            path=run.path,
        ) from None
