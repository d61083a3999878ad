"""The operator at work: kopf, one loop for each namespace, what it writes and when."""
