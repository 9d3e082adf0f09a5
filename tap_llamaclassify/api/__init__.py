"""What LlamaCloud offers: its endpoints, its objects, how replies are parsed and listings paged.

Nothing is known of tables, of bookmarks or of Singer.
"""
