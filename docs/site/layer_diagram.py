"""A diagram of layers as a picture, so that no script of another host has to draw it."""

from __future__ import annotations

from html import escape

__all__ = ["as_svg"]

WIDTH, HEIGHT, GAP, MARGIN = 720, 30, 22, 10


def as_svg(diagram: str) -> str:
    """Return an SVG of a Mermaid flow chart whose lines are ``a & b --> c & d``, layer by layer.

    Args:
        diagram: The text of the chart. The right side of each line is the left side of the next.
    """
    lines = [line.split("-->") for line in diagram.splitlines() if "-->" in line]
    layers = [[name.strip() for name in upper.split("&")] for upper, _ in lines]
    layers.append([name.strip() for name in lines[-1][1].split("&")])
    parts = []
    for level, names in enumerate(layers):
        top = MARGIN + level * (HEIGHT + GAP)
        width = (WIDTH - MARGIN) / len(names) - MARGIN
        for place, name in enumerate(names):
            left = MARGIN + place * (width + MARGIN)
            parts.append(
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" rx="5" '
                'fill="#eef3fa" stroke="#7a93b5"/>'
                f'<text x="{left + width / 2:.1f}" y="{top + 19}" text-anchor="middle">'
                f"{escape(name)}</text>"
            )
        if level:
            parts.append(
                f'<path d="M{WIDTH / 2} {top - GAP + 4}v{GAP - 12}m-4 -5l4 7l4 -7" fill="none" '
                'stroke="#7a93b5" stroke-width="1.5"/>'
            )
    height = 2 * MARGIN + len(layers) * (HEIGHT + GAP) - GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12" fill="#223">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
