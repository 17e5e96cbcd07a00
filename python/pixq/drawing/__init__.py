"""Pictures: legends, map overlays, SVG charts."""
