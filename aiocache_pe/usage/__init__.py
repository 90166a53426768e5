"""Token usage and prices of model responses: the only part that knows their fields."""
