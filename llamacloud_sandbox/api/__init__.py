"""The calls that LlamaCloud answers, around a world; they know no sockets."""
