"""Hosting on a server: generations, units, router. One module a part of the flow of `apply`.

`setting` is what is decided, `desired` turns it into states, `world` knows how to observe and
change them, `prepare` gathers the facts, `deploy` goes through with it.
"""
