"""A client of an app with scripted rerankers and a scripted reader."""

from __future__ import annotations

import pytest
from serving_doubles import reads_first, serving

from shortlist.backends.scripted import ScriptedCompleter
from shortlist.reading.readers import LLMReader


@pytest.fixture
def client():
    with serving(reader=LLMReader(completer=ScriptedCompleter(reads_first)), reader_name="scripted") as made:
        yield made
