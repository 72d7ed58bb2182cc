"""Gather what an HTML page shows: of a build, and of the graphs before and after a rewrite."""
