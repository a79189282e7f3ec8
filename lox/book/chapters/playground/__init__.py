"""The chapter ``playground``: what it computes, and its figures."""
