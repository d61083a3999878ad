"""HTTP: routes, schemas, authentication, request metrics."""
