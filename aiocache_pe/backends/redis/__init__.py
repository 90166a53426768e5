"""Redis store: each record is one string in Redis or Valkey, in the format of all stores."""
