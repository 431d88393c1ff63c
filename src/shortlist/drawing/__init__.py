"""Charts and pages without a browser or a plotting library: SVG and HTML from Python calls."""
