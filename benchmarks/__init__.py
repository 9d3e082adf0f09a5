"""Speed and memory of the tap, side by side with a plain loop that does the least it can."""
