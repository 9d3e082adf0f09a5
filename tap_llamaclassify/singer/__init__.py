"""The Singer front: the tap, its streams and messages, BATCH files, and the command line.

Nothing else of the package knows of it.
"""
