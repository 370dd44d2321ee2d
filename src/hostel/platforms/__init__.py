"""Where things lie and who runs them, one module a platform: paths as data, no inheritance."""
