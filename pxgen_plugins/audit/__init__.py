"""Audits of models in production: a settings file, conditions, a run folder, and its report."""
