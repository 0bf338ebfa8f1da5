"""Faults at full scale: what is cut, killed or ended under load, and that nothing is lost.

    python -m benchmarks.faults
    python -m benchmarks.faults --only database redis

A real server as a process of its own, an embedded Postgres, and hundreds of sockets of both
kinds. Every publish has a number in its data and an idempotency key, and is sent again until
it is acknowledged. At the end each subscriber's numbers are held against the table: lost is
what it did not hear, or what was acknowledged and is not stored; repeated is what came twice,
or is stored twice. Anything lost, repeated or out of order ends the run with 1.
"""
