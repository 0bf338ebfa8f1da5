"""schemathesis against a running service: whatever it asks, no server error.

    python -m benchmarks.fuzz --seconds 60

It makes documents of all operations of the schema, right and wrong ones, and sends them with a
token that may do everything. A status of 500 or more fails, and so does whatever the service's log
has above INFO: an error that is masked is answered with 200, and told there. The first time,
schemathesis is installed in an environment of its own.
"""
