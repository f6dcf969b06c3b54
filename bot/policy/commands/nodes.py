"""What the nodes of the shell's parse tree are called, and what lies between them."""

from tree_sitter import Node

# Nodes that are one piece of text, blanks and all.
WHOLE = frozenset({"string", "raw_string", "ansi_c_string", "heredoc_body", "comment", "expansion"})
# Nodes outside the strict grammar, by what people call them.
OUTSIDE = {
    "command_substitution": "a command substitution",
    "process_substitution": "a process substitution",
    "simple_expansion": "a variable",
    "expansion": "a variable",
    "arithmetic_expansion": "arithmetic",
    "for_statement": "a loop",
    "c_style_for_statement": "a loop",
    "while_statement": "a loop",
    "if_statement": "a condition",
    "case_statement": "a condition",
    "test_command": "a test",
    "function_definition": "a function",
    "compound_statement": "a group of commands",
    "subshell": "a subshell",
    "variable_assignment": "an assignment",
    "variable_assignments": "an assignment",
    "declaration_command": "a declaration",
    "unset_command": "an unset",
    "heredoc_redirect": "a here-document",
    "herestring_redirect": "a here-string",
    "ansi_c_string": "an ANSI-C string",
    "translated_string": "a translated string",
    "brace_expression": "a brace expansion",
    "ERROR": "something that does not parse",
}


def passed_over(root: Node, source: bytes) -> bool:
    """Whether anything but blanks lies between the tokens: an escaped blank at a word's start is none of them."""
    ended = 0
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.child_count and node.type not in WHOLE:
            waiting.extend(reversed(node.children))
            continue
        if source[ended : node.start_byte].strip(b" \t\n"):
            return True
        ended = max(ended, node.end_byte)
    return bool(source[ended:].strip(b" \t\n"))
