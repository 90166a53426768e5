"""Records in Redis or Valkey: one string each, as every other store would write it."""
