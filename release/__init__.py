"""What a release needs of the repository: it knows nothing of the package."""
