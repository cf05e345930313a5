"""The store of a daemon that doesn't run, changed behind its back."""

import contextlib
import hashlib
import sqlite3

PAGE, SUM = 4096, 8


def page_sum(page, offset):
    """What server/store/page_sums.c puts at the end of a page."""
    return hashlib.blake2b(offset.to_bytes(8, "little") + page[:-SUM], digest_size=16).digest()[:SUM]


@contextlib.contextmanager
def edited_store(data):
    """A connection; what was changed by it looks as if the daemon had written it."""
    path = data / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as store:
        yield store
        store.commit()
    content = bytearray(path.read_bytes())
    assert content[20] == SUM and len(content) % PAGE == 0
    for at in range(0, len(content), PAGE):
        end = at + PAGE
        content[end - SUM : end] = page_sum(bytes(content[at:end]), at)
    path.write_bytes(content)
