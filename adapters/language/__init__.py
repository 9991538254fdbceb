"""Descriptions in words: what changes along an axis, and how sure that is."""
