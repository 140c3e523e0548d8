import os
import platform
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.errors import ProcessSpawnFailed
from hostler.process.spawn import executable
from hostler.process.spawn.executable import find_program

Write = Callable[..., Path]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, content: bytes | str, mode: int = 0o755) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    return write_file


def refusal(name: str, cwd: Path, path: str = "/usr/bin:/bin") -> str:
    with pytest.raises(ProcessSpawnFailed) as caught:
        find_program(name, cwd=cwd, env={"PATH": path})
    assert caught.value.permanent
    assert caught.value.context.hint
    return str(caught.value)


def test_a_name_is_found_on_the_path_of_the_child(write: Write, tmp_path: Path) -> None:
    program = write("tool", "#!/bin/sh\n")

    assert find_program("tool", cwd=Path("/"), env={"PATH": f"/proc/nowhere:{tmp_path}"}) == str(program)


def test_the_first_executable_one_is_taken_as_execvp_does(write: Write, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "folder" / "tool").mkdir(parents=True)
    write("first/tool", "#!/bin/sh\n", 0o644)
    program = write("tool", "#!/bin/sh\n")
    path = f"{tmp_path}/first:{tmp_path}/folder:{tmp_path}"

    assert find_program("tool", cwd=Path("/"), env={"PATH": path}) == str(program)


def test_a_path_is_taken_from_the_working_directory_of_the_child(write: Write, tmp_path: Path) -> None:
    write("tool", "#!/bin/sh\n")

    assert Path(find_program("./tool", cwd=tmp_path, env={})).samefile(tmp_path / "tool")
    assert Path(find_program("tool", cwd=tmp_path, env={"PATH": "."})).samefile(tmp_path / "tool")


def test_without_a_path_the_system_s_own_is_used() -> None:
    assert Path(find_program("sh", cwd=Path("/"), env={})).name == "sh"


def test_a_link_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/bin/sh")

    assert find_program(str(tmp_path / "link"), cwd=Path("/"), env={}) == str(tmp_path / "link")


def test_a_name_that_is_nowhere_is_told_with_the_path(tmp_path: Path) -> None:
    text = refusal("no-such-tool", tmp_path, "/a:/b")

    assert "no-such-tool was not found on the PATH of the server (/a:/b)" in text
    assert "install no-such-tool" in text


def test_a_misspelt_name_is_told_with_the_program_that_was_probably_meant(
    write: Write, tmp_path: Path
) -> None:
    write("serve-all", "#!/bin/sh\n")
    assert 'did you mean "serve-all"? Otherwise install serve-al' in refusal(
        "serve-al", tmp_path, str(tmp_path)
    )
    assert "did you mean" not in refusal("elsewhere", tmp_path, str(tmp_path))


def test_a_line_for_a_shell_is_told_as_such(tmp_path: Path) -> None:
    text = refusal("cd api && python3 -u web.py", tmp_path)
    assert "&& is an operator of a shell: no shell is involved" in text
    assert 'write ["sh", "-c", "cd api && python3 -u web.py"] for a shell' in text
    text = refusal("python3 -u web.py", tmp_path)
    assert "the command is one word with spaces in it" in text
    assert '["python3", "-u", "web.py"], or have a shell read it: command = ["sh", "-c"' in text
    assert "write it in env: env = { PORT = ... }" in refusal("PORT=3000", tmp_path)
    text = refusal("cd", tmp_path, "/proc/nowhere")
    assert "cd is no program but a command of the shell, and no shell is used" in text
    assert "install" not in text


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    assert "does not exist" in refusal("./nothing", tmp_path)


def test_an_empty_command_is_told(tmp_path: Path) -> None:
    assert "the command is empty" in refusal("", tmp_path)


def test_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()

    assert "is a directory" in refusal("./sub", tmp_path)


def test_a_file_that_is_not_executable_is_told(write: Write, tmp_path: Path) -> None:
    program = write("tool", "#!/bin/sh\n", 0o644)

    assert f"chmod +x {program}" in refusal("tool", tmp_path, str(tmp_path))


def test_a_pipe_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o777)

    assert "is not a regular file" in refusal("./pipe", tmp_path)


def test_a_path_through_a_file_is_told(write: Write, tmp_path: Path) -> None:
    write("tool", "#!/bin/sh\n")

    assert "cannot be inspected: Not a directory" in refusal("./tool/deeper", tmp_path)


def test_a_working_directory_that_is_gone_is_its_own_error(tmp_path: Path) -> None:
    assert f"the working directory {tmp_path}/gone does not exist" in refusal("sh", tmp_path / "gone")


def test_a_working_directory_that_is_a_file_is_told(write: Write, tmp_path: Path) -> None:
    assert "is not a directory" in refusal("sh", write("file", ""))


@needs_root
def test_a_working_directory_that_may_not_be_entered_is_told(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(0o700)
    user, group = os.getresuid(), os.getresgid()
    os.setresuid(65534, 65534, 0)  # root may enter everything; access() asks for the real user

    try:
        assert "cannot be entered" in refusal("sh", closed)
    finally:
        os.setresuid(*user)
        os.setresgid(*group)


def test_a_script_without_a_first_line_is_told(write: Write, tmp_path: Path) -> None:
    write("tool", "echo hello\n")

    assert "is a script without a #! line" in refusal("./tool", tmp_path)


def test_an_empty_file_is_told(write: Write, tmp_path: Path) -> None:
    write("tool", "")

    assert "or empty" in refusal("./tool", tmp_path)


def test_a_missing_interpreter_is_told(write: Write, tmp_path: Path) -> None:
    program = write("tool", "#!/proc/nowhere/python -u\n")

    assert f"the interpreter of {program} cannot run: /proc/nowhere/python does not exist" in refusal(
        "./tool", tmp_path
    )


def test_an_interpreter_named_by_env_is_looked_up_on_the_path_of_the_child(
    write: Write, tmp_path: Path
) -> None:
    write("tool", "#!/usr/bin/env no-such-node\n")
    write("split", "#!/usr/bin/env -S no-such-node --flag\n")

    assert "no-such-node was not found on the PATH" in refusal("./tool", tmp_path)
    assert "no-such-node was not found on the PATH" in refusal("./split", tmp_path)


@pytest.mark.parametrize(
    "line", ["#!/usr/bin/env sh", "#!/usr/bin/env -i sh", "#!/usr/bin/env A=1 sh", "#! /bin/sh -e"]
)
def test_a_script_that_runs_passes(write: Write, tmp_path: Path, line: str) -> None:
    write("tool", f"{line}\nexit 0\n")

    assert find_program("./tool", cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})


def test_a_windows_line_end_is_told(write: Write, tmp_path: Path) -> None:
    write("tool", "#!/bin/sh\r\nexit 0\r\n")

    assert "ends with a Windows line ending" in refusal("./tool", tmp_path)


def test_an_empty_first_line_is_told(write: Write, tmp_path: Path) -> None:
    write("tool", "#!\n")

    assert "names no interpreter" in refusal("./tool", tmp_path)


def test_scripts_that_interpret_each_other_end_in_an_error(write: Write, tmp_path: Path) -> None:
    write("tool", f"#!{tmp_path}/tool\n")

    assert "names no interpreter that can run it" in refusal("./tool", tmp_path)


@needs_root
def test_a_program_that_may_be_executed_but_not_read_passes(open_folder: Path) -> None:
    shutil.copy("/bin/true", open_folder / "tool")
    (open_folder / "tool").chmod(0o711)
    os.seteuid(65534)
    try:
        assert find_program("./tool", cwd=open_folder, env={})
    finally:
        os.seteuid(0)


def test_data_is_told_not_to_be_a_program(write: Write, tmp_path: Path) -> None:
    write("tool", b"MZ\0\0" * 100)

    assert "is not a program for this system" in refusal("./tool", tmp_path)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="patches the header of an x86-64 program")
def test_a_program_for_another_machine_is_told(write: Write, tmp_path: Path) -> None:
    content = bytearray(Path("/bin/true").read_bytes())
    struct.pack_into("<H", content, 18, 183)
    write("tool", bytes(content))

    assert "is built for ARM64" in refusal("./tool", tmp_path)


def test_a_program_for_another_c_library_is_told(write: Write, tmp_path: Path) -> None:
    content = Path("/bin/true").read_bytes()
    write("tool", content.replace(b"/lib64/ld-linux-", b"/lib64/ld-nowher"))

    assert "needs the loader /lib64/ld-nowher" in refusal("./tool", tmp_path)


def test_a_header_that_is_cut_off_is_left_to_the_kernel(write: Write, tmp_path: Path) -> None:
    write("tool", b"\x7fELF\2\1\1\0")

    assert find_program("./tool", cwd=tmp_path, env={})


@pytest.mark.parametrize(("place", "value"), [(4, b"\1"), (56, b"\0\0")], ids=["32-bit", "static"])
def test_a_program_without_a_loader_to_look_for_passes(
    write: Write, tmp_path: Path, place: int, value: bytes
) -> None:
    content = bytearray(Path("/bin/true").read_bytes())
    content[place : place + len(value)] = value
    write("tool", bytes(content))

    assert find_program("./tool", cwd=tmp_path, env={})


def test_other_formats_pass_where_the_kernel_was_taught_some(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("tool", b"MZ\0\0" * 100)
    formats = tmp_path / "formats"
    formats.mkdir()
    monkeypatch.setattr(executable, "_BINFMT", formats)  # registering a real one would change the machine
    (formats / "register").touch()
    assert "is not a program for this system" in refusal("./tool", tmp_path)

    (formats / "wine").touch()
    assert find_program("./tool", cwd=tmp_path, env={})
