"""HTTP caching shared by the transports of httpx and httpx2."""
