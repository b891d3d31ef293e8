"""One module per vendor: the typed request, the reading of its answers. Nothing here sends, waits, pays or decides."""
