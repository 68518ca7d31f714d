"""The one exception that stands for bad input."""


class InputError(ValueError):
    """Bad input: a single line that names the value and the remedy.

    The command line prints it and exits with code 2; a library user catches it as a ``ValueError``.
    """
