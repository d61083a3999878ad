"""What can go wrong, told in one line each."""


class LocalError(Exception):
    """It can't go on; the message says what to do."""
