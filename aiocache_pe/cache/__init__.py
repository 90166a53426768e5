"""The public cache objects, async and blocking, and the factory that builds them."""
