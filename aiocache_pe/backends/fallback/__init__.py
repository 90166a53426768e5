"""A store in front of another: while the first is away, the second serves."""
