"""Code that runs inside a site's own Python: nothing here imports Hostel or anything outside the
standard library."""
