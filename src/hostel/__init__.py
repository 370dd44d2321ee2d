"""Hostel: hosts Python WSGI apps on Apache httpd and mod_wsgi from one file."""
