"""The query language: a line of text in, parameterised SQL for a program's tables out. Pure."""
