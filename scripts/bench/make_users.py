"""A users file for `header-auth`: user1 with the password secret1, and so on. `python make_users.py COUNT > users.yaml`

The hashes are bcrypt at its lowest cost: fine for a benchmark, too weak for people.
"""
import sys

import bcrypt


def users_file(count):
    lines = []
    for number in range(1, count + 1):
        hashed = bcrypt.hashpw(b"secret%d" % number, bcrypt.gensalt(4)).decode()
        lines.append(f'user{number}: {{password: "{hashed}", allow: ["*"]}}\n')
    return "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(users_file(int(sys.argv[1])))
