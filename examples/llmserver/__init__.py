"""Local model server with OpenAI's and Anthropic's API.

Examples and tests need neither a network nor a key with it. Its answers contain the words of the
question, counted and reversed. Equal requests have equal answers, but each answer has its own id,
as with real servers.
"""
