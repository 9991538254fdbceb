"""Methods on units, the channels of a model's layers: what excites them, and for which anchors."""
