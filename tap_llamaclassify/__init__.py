"""Singer tap for the history of LlamaCloud classify jobs."""
