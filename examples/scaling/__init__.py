"""What agreement costs with more ranks or values: collectives and bytes of an attempt, its share of a step."""
