"""Editing what a prompt's words mean to a model: in closed form, and undone again."""

from pxgen_plugins.editing.concept_edit import ConceptEdit
from pxgen_plugins.editing.report import EditReport

__all__ = ["ConceptEdit", "EditReport"]
