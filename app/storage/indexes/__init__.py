"""Indexes for what is searched: noticed, built, used and dropped by the service itself."""
