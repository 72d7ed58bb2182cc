"""Do work in a worker process: a library that crashes there, or takes all memory, takes no answer along.

`parent` starts and watches a worker, `worker` is the other end of the pipes, `calls` is the same for Python's callers.
"""
