"""The cost model: how long TensorRT and the plugins take for the layers of a network, by figures measured on a GPU."""
