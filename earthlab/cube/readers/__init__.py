"""One reader a kind of file; each gives the values of a source on a block of the grid."""
