"""A channel of a million messages: the data set, and what searching and watching it takes."""
