"""Tagged JSON: the types of the standard library."""
