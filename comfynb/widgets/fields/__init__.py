"""The right input for each type of parameter."""
