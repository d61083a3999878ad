"""Turns AlertThreshold objects into Prometheus rules, and proves that they took effect."""
