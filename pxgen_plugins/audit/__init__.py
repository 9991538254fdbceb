"""Audits of models in production: conditions, runs, and what changed between them."""
