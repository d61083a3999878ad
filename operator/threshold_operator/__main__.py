"""``python -m threshold_operator``."""

from threshold_operator.cli import main

main()
