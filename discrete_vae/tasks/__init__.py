"""What is modelled. A task knows no strategy."""
