"""`moongate hash-password`: from a pipe, and from a terminal without echo."""
import os
import pty
import subprocess
import termios

import bcrypt
import pytest

from harness.proxy import binary


def hash_from_pipe(password, *arguments):
    return subprocess.run([binary(), "hash-password", *arguments], input=password, capture_output=True, timeout=30)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_bcrypt_hash_belongs_to_the_piped_line(ending):
    result = hash_from_pipe("pässword".encode() + ending, "--cost", "4")
    assert result.returncode == 0, result.stderr
    hashed = result.stdout.rstrip(b"\n")
    assert hashed.startswith(b"$2b$04$")
    assert bcrypt.checkpw("pässword".encode(), hashed)


def test_costs_and_method_are_chosen():
    assert hash_from_pipe(b"secret").stdout.startswith(b"$2b$10$")
    assert hash_from_pipe(b"secret", "--method", "yescrypt", "--cost", "1").stdout.startswith(b"$y$j75$")


@pytest.mark.parametrize("password, arguments, reason", [
    (b"", [], b"no password"),
    (b"\n", [], b"no password"),
    (b"one\ntwo\n", [], b"more than one line"),
    (b"x" * 73, [], b"at most 72 bytes"),
    (b"a\0b", [], b"zero byte"),
    (b"secret", ["--cost", "17"], b"cost from 4 to 16"),
    (b"secret", ["--method", "md5"], b"md5"),
    (b"", ["secret"], b"secret"),
])
def test_what_cannot_be_hashed_is_refused(password, arguments, reason):
    result = hash_from_pipe(password, *arguments)
    assert result.returncode != 0
    assert result.stdout == b""
    assert reason in result.stderr


def at_terminal(answers):
    """Types each answer when asked; gives what the terminal showed, and whether it echoes afterwards."""
    leader, follower = pty.openpty()
    child = subprocess.Popen([binary(), "hash-password", "--cost", "4"], stdin=follower, stdout=follower,
                             stderr=follower, start_new_session=True)
    shown = b""
    try:
        for prompt, answer in zip([b"Password: ", b"Once more: "], answers):
            while not shown.endswith(prompt):
                shown += os.read(leader, 1)
            os.write(leader, answer + b"\n")
        code = child.wait(timeout=30)
        echoes = bool(termios.tcgetattr(follower)[3] & termios.ECHO)
        os.set_blocking(leader, False)
        while True:
            try:
                shown += os.read(leader, 4096)
            except BlockingIOError:
                return code, shown, echoes
    finally:
        child.kill()
        os.close(leader)
        os.close(follower)


def test_terminal_shows_no_password_and_echoes_again():
    code, shown, echoes = at_terminal([b"open sesame", b"open sesame"])
    assert code == 0
    assert b"sesame" not in shown
    assert bcrypt.checkpw(b"open sesame", shown.strip().splitlines()[-1])
    assert echoes


def test_two_different_answers_give_no_hash():
    code, shown, echoes = at_terminal([b"open sesame", b"open barley"])
    assert code != 0
    assert b"differ" in shown and b"$2b$" not in shown
    assert echoes
