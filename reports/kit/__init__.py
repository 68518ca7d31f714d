"""What reports share: text, names, figures, and the way to a PDF."""
