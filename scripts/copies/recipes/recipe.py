# recipe.py random|ssl|uuid4|fixed: a value of one of Python's generators for each line of standard input.
import ctypes
import random
import ssl
import sys
import uuid

GENERATION = "/run/commonhv/generation"  # a u32, another one after each reseed


def generation():
    try:
        with open(GENERATION, "rb") as file:
            return file.read(4)
    except OSError:
        return None


def reseed():
    """The recipe: the kernel is reseeded when the file changes, so both generators take seeds that only this copy has."""
    random.seed()
    libcrypto = ctypes.CDLL(ssl._ssl.__file__)
    assert libcrypto.RAND_poll() == 1


seen = generation()


def fixed():
    global seen
    now = generation()
    if now != seen:
        reseed()
        seen = now
    return f"{random.getrandbits(32):08x}{ssl.RAND_bytes(4).hex()}"


DRAW = {
    "random": lambda: f"{random.getrandbits(64):016x}",
    "ssl": lambda: ssl.RAND_bytes(8).hex(),
    "uuid4": lambda: uuid.uuid4().hex,
    "fixed": fixed,
}[sys.argv[1]]
for _ in sys.stdin:
    print(DRAW(), flush=True)
