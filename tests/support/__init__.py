"""What tests of several subjects are made of; no test stands here, and nothing is exported."""
