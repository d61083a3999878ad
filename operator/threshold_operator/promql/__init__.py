"""The rules that thresholds become, as PromQL and as rule files: pure."""
