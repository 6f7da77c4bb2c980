"""The query pack: questions that analysts ask, as SQL files with parameters; nothing here connects to anything.

A query is a file of `sql/`, which `catalog` reads. What a person typed becomes parameters that the server fills in
(`ask`, `moments`); what cannot be a parameter is one of the fixed pieces of SQL of `pieces`. So nothing that somebody
typed is ever part of a query's text: a `Statement` is that text, and the values beside it.
"""
