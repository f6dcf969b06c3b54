"""SQL on a command line: read statement by statement, as far as it takes to know that it only looks."""

import re
from itertools import pairwise

from bot.domain.calls import CallClass
from bot.policy.commands.script_effects import Script

TOKENS = re.compile(
    r"(?P<line>--[^\n]*)|(?P<block>/\*.*?\*/)|(?P<text>'(?:''|\\.|[^'\\])*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r"|(?P<name>\"(?:\"\"|[^\"])*\"|`[^`]*`)|(?P<word>[A-Za-z_][\w$.]*)|(?P<number>\d[\w.]*)|(?P<sign>.)",
    re.DOTALL,
)
LOOKS = frozenset({"select", "show", "describe", "desc", "explain", "with", "values", "table", "use", "pragma", "help"})
# What loses data, shuts people out or stops the server.
DESTROYS = frozenset({"drop", "truncate", "delete", "revoke", "grant", "shutdown", "kill", "reset", "purge", "flush", "rename"})  # fmt: skip
CHANGES = frozenset({"insert", "update", "create", "alter", "replace", "merge", "upsert", "comment", "set", "call", "do", "lock", "vacuum", "analyze", "analyse", "reindex", "cluster", "refresh", "begin", "start", "commit", "rollback", "savepoint", "release", "optimize", "check", "checkpoint", "notify", "listen", "attach", "detach", "load", "import", "install", "copy", "handler", "prepare", "execute", "deallocate", "declare", "fetch", "discard", "end", "abort", "security", "change", "stop", "restore", "backup"})  # fmt: skip
# Functions that only compute, or look at the server's own figures.
PURE = frozenset({"count", "sum", "min", "max", "avg", "coalesce", "nullif", "greatest", "least", "lower", "upper", "length", "char_length", "substr", "substring", "trim", "concat", "concat_ws", "replace", "round", "floor", "ceil", "abs", "now", "current_date", "current_timestamp", "current_database", "current_user", "current_schema", "session_user", "user", "database", "schema", "version", "date", "datetime", "time", "strftime", "date_trunc", "date_part", "extract", "age", "to_char", "to_timestamp", "interval", "cast", "convert", "row_number", "rank", "dense_rank", "lag", "lead", "over", "distinct", "in", "exists", "any", "all", "and", "or", "not", "as", "on", "where", "from", "join", "select", "values", "like", "between", "case", "when", "then", "else", "filter", "using", "partition", "order", "by", "group_concat", "string_agg", "array_agg", "json_agg", "json_build_object", "jsonb_pretty", "unnest", "generate_series", "typeof", "total", "ifnull", "iif", "if", "isnull", "pg_size_pretty", "pg_database_size", "pg_total_relation_size", "pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_postmaster_start_time", "pg_is_in_recovery", "pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn", "pg_last_xact_replay_timestamp", "pg_current_wal_lsn", "pg_wal_lsn_diff", "pg_get_indexdef", "pg_get_viewdef", "pg_get_constraintdef", "pg_get_userbyid", "pg_backend_pid", "pg_blocking_pids", "pg_stat_get_activity", "pg_column_size", "pg_tablespace_size", "quote_ident", "format_type", "obj_description", "col_description", "to_regclass", "inet_server_addr", "inet_server_port", "txid_current_snapshot", "current_setting", "table_info", "table_list", "index_list", "index_info", "foreign_key_list", "database_list", "sqlite_version", "limit", "offset", "is", "lateral", "with", "recursive", "union", "intersect", "except", "char", "hex", "md5", "sha1", "sha256", "left", "right", "position", "instr", "varchar", "decimal", "numeric", "int", "integer", "text"})  # fmt: skip
META = re.compile(
    r"\\(d[\w+]*|l\+?|du\+?|dt\+?|dn\+?|conninfo|timing|x|z|q|\?|h|encoding|echo|pset|a|t|H|s|status|sf|sv)(?=\s|$)"
)
SECRET = re.compile(
    r"\b(pg_shadow|pg_authid|mysql\.user|authentication_string|rolpassword|passwd|user_mapping)\b", re.IGNORECASE
)


def read_sql(text: str) -> Script:
    """SQL of any dialect, with the backslash commands of psql and the dot commands of sqlite3."""
    script = Script()
    for line in text.split("\n"):
        if line.strip().startswith(("\\", ".")):
            _meta(line.strip(), script)
    rest = "\n".join(line for line in text.split("\n") if not line.strip().startswith(("\\", ".")))
    if "\\" in re.sub(r"'[^']*'", "", rest):
        _inline_meta(rest, script)
    statements = _statements(rest)
    for statement in statements:
        _statement(statement, script)
    if len(statements) > 1:
        script.add(CallClass.UNKNOWN, "has more than one statement")
    if SECRET.search(text):
        script.add(CallClass.SENSITIVE_READ, "shows password hashes of a database")
    return script


def _statements(text: str) -> list[list[tuple[str, str]]]:
    statements: list[list[tuple[str, str]]] = [[]]
    for match in TOKENS.finditer(text):
        kind = match.lastgroup or ""
        value = match.group()
        if kind == "tag":
            kind = "text"
        if kind == "line" or (kind == "block" and not value.startswith(("/*!", "/*+", "/*M!"))) or value.isspace():
            continue
        if kind == "sign" and value == ";":
            statements.append([])
            continue
        statements[-1].append((kind, value if kind != "word" else value.lower()))
    return [statement for statement in statements if statement]


def _statement(tokens: list[tuple[str, str]], script: Script) -> None:
    words = [value for kind, value in tokens if kind == "word"]
    first = words[0] if words else ""
    if "program" in words and first == "copy":
        script.add(CallClass.FORBIDDEN, "lets the database server run a program")
    if any(kind == "block" for kind, _ in tokens):
        script.add(CallClass.UNKNOWN, "has SQL in a comment that some servers run")
    hit = next((word for word in words if word in DESTROYS), None)
    if first in DESTROYS or (
        hit in {"drop", "truncate", "delete"} and first not in {"show", "describe", "desc", "help"}
    ):
        script.add(CallClass.DESTROY, f"runs {hit or first} in a database")
    elif first == "update" and "where" not in words:
        script.add(CallClass.DESTROY, "updates every row of a table")
    elif first in CHANGES:
        script.add(CallClass.CHANGE, f"runs {first} in a database")
    elif first not in LOOKS:
        script.add(CallClass.UNKNOWN, "has SQL that is not understood")
    else:
        _look(first, words, tokens, script)


def _look(first: str, words: list[str], tokens: list[tuple[str, str]], script: Script) -> None:
    """A statement that begins like a look: what in it could do more."""
    changing = next((word for word in words[1:] if word in {"insert", "update", "merge", "into", "outfile", "dumpfile", "lock", "nextval", "setval"}), None)  # fmt: skip
    if changing and first != "show":
        script.add(CallClass.CHANGE, f"runs {changing} in a database")
    if first == "pragma" and any(value in {"=", "("} for kind, value in tokens if kind == "sign"):
        known = len(words) > 1 and words[1].rpartition(".")[2] in PURE
        if not known or any(value == "=" for kind, value in tokens if kind == "sign"):
            script.add(CallClass.UNKNOWN, "sets a pragma of a database")
    for (kind, value), (_, after) in pairwise(tokens):
        if kind in {"word", "name"} and after == "(" and value.rpartition(".")[2].strip('"`') not in PURE:
            script.add(CallClass.UNKNOWN, f"calls {value[:60]} in a database")


def _meta(line: str, script: Script) -> None:
    if META.match(line):
        return
    if line.startswith("\\!"):
        script.commands.append(line[2:].strip())
        script.add(CallClass.UNKNOWN, "runs a shell command from a database client")
    elif re.match(
        r"\.(tables|schema|databases|indexes|indices|help|headers|mode|show|version|stats|dbinfo|timer|width|fullschema|eqp|lint)\b",
        line,
    ):
        return
    elif found := re.match(r"\.(?:shell|system)\s+(.*)", line):
        script.commands.append(found[1])
        script.add(CallClass.UNKNOWN, "runs a shell command from a database client")
    else:
        script.add(CallClass.UNKNOWN, f"has the client command {line.split(maxsplit=1)[0][:20]}, which is not known")


def _inline_meta(text: str, script: Script) -> None:
    """A backslash outside of text, in the middle of a line: psql and mysql read a command there."""
    for command in re.findall(r"\\\S+", re.sub(r"'[^']*'", "", text)):
        if not META.match(command) and command not in {"\\G", "\\g", "\\G;"}:
            script.add(CallClass.UNKNOWN, f"has the client command {command[:20]}, which is not known")
