"""Sources, features, detectors, scoring and the pipeline. Imports data; never a UI library."""
