"""What stands between the calls and the client, and what can go wrong there."""
