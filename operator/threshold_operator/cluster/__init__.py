"""The Kubernetes API, the objects we write, what is known to exist, and the Lease."""
