"""The outside world behind the services' ports: gateway, database, metrics, keys, logs."""
