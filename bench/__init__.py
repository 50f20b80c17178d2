"""How fast the parts are, each against a reference that does no less work than it must: `make bench`."""
