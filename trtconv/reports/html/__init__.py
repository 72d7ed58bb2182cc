"""The HTML page of a build or an inspection: what it holds, and how it is written."""
