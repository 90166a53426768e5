"""One namespace over a memory tier, a codec and a store."""
