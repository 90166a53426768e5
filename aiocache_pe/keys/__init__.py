"""Keys made from arguments, names and patterns."""
