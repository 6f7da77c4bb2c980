"""Dead letters sent through again, each by the way it came. Of the database it knows protocols."""
