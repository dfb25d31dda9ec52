"""A real service under real faults: what was said to whom and when is written down, and judged afterwards."""
