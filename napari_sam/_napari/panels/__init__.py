"""The sections of the dock widget: each takes a session and calls its verbs."""
