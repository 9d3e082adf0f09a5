"""What every command line of the package does alike, whichever protocol it speaks.

How its process ends, how it reads the files that it is given, and how it tells of an error.
"""
