"""What a release is checked by, before its tag and before it is published: ``make release-check``."""
