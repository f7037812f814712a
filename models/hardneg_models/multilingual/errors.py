"""What a user can mend, in one sentence without its subject: whoever asked for the model puts its name before it."""


class ConversionError(Exception):
    """The model can't be made: its source is missing or damaged, or there is no place for the result."""
