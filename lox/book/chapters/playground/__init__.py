"""The playground: the toy model in the page, where the reader talks to it and attacks it."""
