"""Tags of JSON: the types of the standard library, of numpy and of pydantic's addresses."""
