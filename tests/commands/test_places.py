"""Each file of a command has a name of its own, which the client leaves as it is."""

from pathlib import Path

import pytest
from clipwire import files
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.places import Places
from tests.wire.sampling import SAMPLE

FOLDER = Path("/nowhere")  # nothing is there


@pytest.mark.soak
@SAMPLE
@given(name=st.text(st.characters(), max_size=300) | st.text("a.-\u4e16 2", min_size=190, max_size=260))
def test_names_are_given_once_and_are_safe(name: str) -> None:
    places = Places(replace=False)
    given = [places.free(FOLDER, name) for _ in range(12)]
    assert len(set(given)) == 12
    assert all(path.name == files.safe_name(path.name) for path in given)
