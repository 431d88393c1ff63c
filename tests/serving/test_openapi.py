"""The OpenAPI document is valid, its examples work, and the replies to whatever it allows are as it says."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from serving_doubles import listwise, pointwise, reads_first

from shortlist.backends.scripted import ScriptedCompleter
from shortlist.reading.readers import LLMReader
from shortlist.serving.app import create_app

schemathesis = pytest.importorskip("schemathesis")

APP = create_app(
    [pointwise(), listwise()], reader=LLMReader(completer=ScriptedCompleter(reads_first)), reader_name="scripted"
)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)


@SCHEMA.parametrize()
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_route_keeps_to_the_document(case):
    # not whether all that the document allows is accepted: it cannot say "as many scores as documents"
    case.call_and_validate(excluded_checks=[schemathesis.checks.positive_data_acceptance])


def test_the_document_is_valid():
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(APP.openapi())
