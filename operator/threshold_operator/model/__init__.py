"""Thresholds, the catalogue, and which object governs what: pure, without a cluster."""
