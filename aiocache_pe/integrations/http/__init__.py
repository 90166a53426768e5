"""HTTP caching shared by the httpx and httpx2 transports."""
