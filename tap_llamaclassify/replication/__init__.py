"""What to read, in which order, and what a state may keep of it.

Every front uses it, and it knows none of them.
"""
