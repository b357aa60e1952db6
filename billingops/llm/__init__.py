"""One client of any OpenAI-compatible server. It chooses among permitted actions and writes words, never an amount.

`agents.ask` is the only door; `redaction` and `texts` are the tools its callers need as well.
"""
