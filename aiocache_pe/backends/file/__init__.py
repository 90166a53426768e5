"""File store: one readable file per entry, for any number of processes."""
