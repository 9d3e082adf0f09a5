"""One GET request after another: sessions, retries, pace, bounds, and what each answer means.

Nothing is known of jobs, of tables or of Singer.
"""
