"""What Prometheus evaluates, evaluated and selects, and what that proves."""
