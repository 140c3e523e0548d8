"""A command as one string is split as a shell would, and a line that needs a shell says so."""

from __future__ import annotations

import pytest
from hostler.text.command_line import NotACommandLine, split


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("serve --port ${server.port} --save ''", ["serve", "--port", "${server.port}", "--save", ""]),
        ("echo 'a && b' \"c;d\" e\\ f", ["echo", "a && b", "c;d", "e f"]),
        ("echo '$HOME' $$ #1", ["echo", "$HOME", "$$", "#1"]),
        ("sleep ${X:-a b}", ["sleep", "${X:-a b}"]),
        ("a '${X:-b c}' ${Y:-it's}z $$", ["a", "${X:-b c}", "${Y:-it's}z", "$$"]),
        ("a ${X:-b | $c}", ["a", "${X:-b | $c}"]),
        ("~/bin/serve --tag=v1,v2 *.py", ["~/bin/serve", "--tag=v1,v2", "*.py"]),
    ],
)
def test_a_line_is_split_as_a_shell_splits_it(line: str, words: list[str]) -> None:
    assert split(line) == words


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("cd api && uvicorn app:app", "&& is an operator of a shell"),
        ("serve > out.log", "> is an operator of a shell"),
        ("serve; other", "; is an operator of a shell"),
        ("serve --port $PORT", "$PORT is a variable of a shell (${server.port} is the port)"),
        ('serve "$A"', "$A is a variable of a shell (${A} is one of hostler)"),
        ("serve `pwd`", "` is an expansion of a shell"),
        ("PORT=1 serve", "PORT=1 sets a variable in a shell (here env does)"),
    ],
)
def test_what_only_a_shell_understands_is_refused_with_the_list_to_write(line: str, what: str) -> None:
    with pytest.raises(NotACommandLine) as caught:
        split(line)
    assert str(caught.value).startswith(f'{what}: no shell is involved; write ["sh", "-c", "')


@pytest.mark.parametrize("line", ["serve 'a", "", "  "])
def test_what_is_no_command_is_refused(line: str) -> None:
    with pytest.raises(NotACommandLine):
        split(line)
