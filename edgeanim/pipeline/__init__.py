"""The stages put together: what each command does, cached in the artifact store."""
