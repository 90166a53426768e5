"""A model server on this machine that speaks OpenAI's and Anthropic's API.

It answers with what can be computed here, so that the examples and tests need neither
network nor key: the words of the question, counted and turned round. What it says is the
same for the same request, but each answer has an id of its own, as with the real ones.
"""
