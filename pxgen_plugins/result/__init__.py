"""What an explanation holds: its keys, its strict JSON, its tables."""
