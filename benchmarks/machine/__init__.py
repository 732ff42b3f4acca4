"""The machine while it is measured: sensors, cores, what its circumstances allow to say."""
