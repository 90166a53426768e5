"""The miss path: single flight, leases, stale values, refreshes and batches."""
