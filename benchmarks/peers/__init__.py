"""The ways people do this job today: one short script each, as the library's documentation teaches.

Each is run as `python -m benchmarks.peers.NAME URL KEY PAGE_SIZE FOLDER`, in an environment of its
own. FOLDER is an empty one for the files that it needs. The rows go to standard output, but where
the library only loads into files, there.
"""
