"""One client of any OpenAI-compatible server. It chooses among permitted actions and writes words, never an amount.

`agents.ask` is the only door; `redaction` and `texts` are its tools. See docs/decisions for what is sent and what is not.
"""
