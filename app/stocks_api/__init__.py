"""A trading API on Interactive Brokers Gateway whose every failure shows on a metric."""

__version__ = "0.1.0"
