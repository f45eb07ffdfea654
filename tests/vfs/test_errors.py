"""Every leaf has its row, its errno and a sentence; errors survive a process boundary."""

import errno
import pickle

import pytest

from providers import errors
from providers.errors import StorageError, from_oserror, leaves
from vfs.errors import TABLE, UNKNOWN, meaning, sentence


def test_every_leaf_has_its_row_and_nothing_else_has() -> None:
    assert set(TABLE) == set(leaves())


@pytest.mark.parametrize("leaf", leaves())
def test_no_leaf_is_a_500_and_each_is_documented(leaf: type[StorageError]) -> None:
    assert 400 <= TABLE[leaf].status < 600
    assert TABLE[leaf].status != 500
    assert leaf.__doc__
    assert leaf().errno == leaf.number


def test_errnos_and_texts_are_distinct() -> None:
    assert len({leaf.number for leaf in leaves()}) == len(leaves())
    assert len({leaf.text for leaf in leaves()}) == len(leaves())


def test_a_subclass_means_what_its_leaf_means() -> None:
    class Locked(errors.Denied):
        pass

    assert meaning(Locked()).status == 403
    assert meaning(StorageError()) is UNKNOWN


def test_an_error_survives_pickling_whole() -> None:
    error = errors.Unavailable("/a", detail="gone", retry_after_seconds=3)
    error.at(provider="sftp", operation="stat", path="/a/b")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is errors.Unavailable
    assert str(copy) == str(error) == "'/a/b': the store does not answer (gone) [sftp stat]"
    assert copy.retry_after_seconds == 3
    assert copy.temporary


def test_a_client_is_not_told_the_inner_names() -> None:
    error = errors.NotFound("/a").at(provider="sftp", operation="stat", path="/a")
    assert sentence(error) == "/a: there is no such file or folder"


@pytest.mark.parametrize(
    ("number", "leaf"),
    [
        (errno.ENOENT, errors.NotFound),
        (errno.ENOSPC, errors.NoSpace),
        (errno.ENAMETOOLONG, errors.InvalidPath),
        (errno.EDQUOT, errors.NoSpace),
        (errno.EACCES, errors.Denied),
        (errno.ELOOP, errors.Denied),
        (errno.EXDEV, errors.Denied),
        (errno.ESTALE, errors.Changed),
    ],
)
def test_errors_of_the_system_find_their_leaf(number: int, leaf: type[StorageError]) -> None:
    assert type(from_oserror(OSError(number, "x"))) is leaf


def test_an_unknown_error_of_the_system_keeps_its_reason() -> None:
    error = from_oserror(OSError(errno.EXFULL, "x"), "p")
    assert type(error) is StorageError
    assert "Exchange full" in str(error)
