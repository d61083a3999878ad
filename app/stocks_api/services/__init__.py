"""What the API does, in terms of the domain; each service declares the narrow ports it needs."""
