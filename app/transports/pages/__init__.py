"""What people open in a browser: GraphiQL, the demonstration page, the console, and their files.

Everything comes from this process; the pages' Content-Security-Policy holds them to it.
"""
