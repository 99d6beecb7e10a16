"""Stick tables: keys with data, their expiry, and how replicas agree on them. No I/O."""
