"""One module per screen; what they share is in screens.widgets."""
