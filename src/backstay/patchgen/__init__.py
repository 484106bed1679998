"""From an intent to a package that Kubernetes tools accept."""
