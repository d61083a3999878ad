"""From a bare Debian machine to a kind cluster with the monitoring stack and our chart.

Standard library only: this runs with the system's ``python3`` before any virtual environment
exists.
"""
