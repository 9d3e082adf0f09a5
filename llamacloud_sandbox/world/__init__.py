"""A made-up history of jobs that goes on while it is read; it knows no HTTP."""
