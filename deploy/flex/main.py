"""The program of the Flex Template: it submits the job and leaves; `hardneg publish` makes the output later.

Its arguments are the template's parameters, `--name=text` each (metadata.json), and the options that Dataflow adds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hardneg.errors import HardnegError
from hardneg.pipelines.cli import run
from hardneg.pipelines.options.flat import command_line_of

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        try:
            line = command_line_of(sys.argv[1:], Path(folder))
        except HardnegError as error:
            sys.exit(f"hardneg: {error}")
        sys.exit(run(line))
