"""Tests of pxgen_plugins.selection."""
