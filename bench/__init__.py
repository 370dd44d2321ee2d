"""Benchmarks: Hostel beside what else serves a WSGI app, in one run. See bench/README.md."""
