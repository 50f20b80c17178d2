"""Image references: what registry answers for one, and to which digest its tag points."""
