"""What a user sets: settings, their validation, and the connections that come of them.

Nothing is sent here, and nothing is known of what is read.
"""
