"""Profiles of media types."""

import pytest

from earthlab.catalog.normalise import norm_kind
from earthlab.catalog.tabular import DARWIN_CORE_ARCHIVE, PROFILES, parameter_of, profile_of, profiled


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_profile_is_read_back_and_means_a_table(profile):
    media_type = profiled("application/json", profile)
    assert profile_of(media_type) == profile
    assert norm_kind(media_type, "https://h/a.zip") == "table"


def test_parameters_are_read_with_and_without_quotes():
    media_type = 'text/csv; charset="windows-1252"; header=absent'
    assert [parameter_of(media_type, name) for name in ("charset", "header", "profile")] == [
        "windows-1252",
        "absent",
        "",
    ]
    assert profile_of("") == ""


@pytest.mark.parametrize(
    ("media_type", "roles", "kind"),
    [
        ("application/zip", (), "zip"),
        ("application/zip", ("data", "darwin-core-archive"), "table"),
        ("application/zip", ("DwC-A",), "table"),
        ("application/zip", ("dwca",), "table"),
        ("application/dwca+zip", (), "table"),
        (profiled("application/zip", DARWIN_CORE_ARCHIVE), (), "table"),
    ],
)
def test_a_zip_is_a_table_where_it_is_called_a_darwin_core_archive(media_type, roles, kind):
    assert norm_kind(media_type, "https://h/archive.zip", roles) == kind
