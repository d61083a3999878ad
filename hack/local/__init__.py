"""The whole product as processes on this machine: no Kubernetes, no Docker, no root."""
