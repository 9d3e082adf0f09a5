"""What the API's objects become: tables, their schemas and rows, and the same as Arrow.

Nothing is known of how items are fetched, or of Singer.
"""
