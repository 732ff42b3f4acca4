"""Reports for people: tables and self-contained pages."""
