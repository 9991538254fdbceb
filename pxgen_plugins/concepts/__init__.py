"""Concepts: what of an instance is something, as a mask; what units of a model are compared with.

A concept is a callable from a batch of instances (n, *sample_shape), as the model gives them, to
masks (n, height, width) with values in [0, 1]. No network is needed: pixel rules, places, edges,
strokes, colours, a classifier's own maps, and whatever a user's segmenter returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.concepts.base import Concept
    from pxgen_plugins.concepts.class_map import ClassMap
    from pxgen_plugins.concepts.colour import Colour
    from pxgen_plugins.concepts.defaults import default_concepts
    from pxgen_plugins.concepts.edge import Edge
    from pxgen_plugins.concepts.factors import FromFactors
    from pxgen_plugins.concepts.region import Region
    from pxgen_plugins.concepts.segmenter import Segmenter
    from pxgen_plugins.concepts.stroke import Stroke
    from pxgen_plugins.concepts.threshold import Threshold

__all__ = [
    "ClassMap",
    "Colour",
    "Concept",
    "Edge",
    "FromFactors",
    "Region",
    "Segmenter",
    "Stroke",
    "Threshold",
    "default_concepts",
]
_HOMES = {
    "ClassMap": "class_map",
    "Colour": "colour",
    "Concept": "base",
    "Edge": "edge",
    "FromFactors": "factors",
    "Region": "region",
    "Segmenter": "segmenter",
    "Stroke": "stroke",
    "Threshold": "threshold",
    "default_concepts": "defaults",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
