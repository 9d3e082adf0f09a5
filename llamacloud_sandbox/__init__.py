"""A LlamaCloud classify API on loopback for demo, tests and benchmark; it knows no tap."""
