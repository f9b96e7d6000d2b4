"""CITATION.cff against the rules of the Citation File Format 1.2.0 for the keys that it uses.

The official schema (https://github.com/citation-file-format/citation-file-format, schema-guide.md) allows no other key
than its own, and neither does this excerpt: a key that is not listed here must be looked up there first.
"""

import copy
import datetime
import re
import tomllib

import jsonschema
import pytest
import yaml

from worldmodels.figures.claims_page import REPOSITORY

TEXT = {"type": "string", "minLength": 1}
URL = {"type": "string", "pattern": r"^(https|http|ftp|sftp)://.+"}
PERSON = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("family-names", "given-names", "name-particle", "name-suffix", "alias", "affiliation"), TEXT),
        "email": {"type": "string", "pattern": r"^[\S]+@[\S]+\.[\S]{2,}$"},
        "orcid": {"type": "string", "pattern": r"^https://orcid\.org/[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]$"},
        "website": URL,
    },
    "additionalProperties": False,
    "minProperties": 1,
}
ENTITY = {
    "type": "object",
    "properties": {"name": TEXT, "alias": TEXT, "website": URL, "email": PERSON["properties"]["email"]},
    "required": ["name"],
    "additionalProperties": False,
}
AUTHORS = {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"anyOf": [PERSON, ENTITY]}}
DOI = {"type": "string", "pattern": r"^10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-\.\(\)\[\]\\]+$"}
REFERENCE = {
    "type": "object",
    "properties": {
        "authors": AUTHORS,
        "type": {"enum": ["article", "conference-paper", "proceedings", "report", "software", "thesis", "unpublished"]},
        **dict.fromkeys(("title", "abstract", "journal", "notes", "publisher", "repository-code"), TEXT),
        "conference": ENTITY,
        "year": {"type": ["integer", "string"]},
        "doi": DOI,
        "url": URL,
    },
    "required": ["authors", "title", "type"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": TEXT,
        "title": TEXT,
        "abstract": TEXT,
        "type": {"enum": ["software", "dataset"]},
        "authors": AUTHORS,
        "version": {"type": ["string", "number"]},
        "date-released": {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "license": {"enum": ["MIT", "Apache-2.0", "BSD-3-Clause"]},
        "keywords": {"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT},
        "doi": DOI,
        "repository-code": URL,
        "url": URL,
        "preferred-citation": REFERENCE,
        "references": {"type": "array", "minItems": 1, "uniqueItems": True, "items": REFERENCE},
    },
    "required": ["authors", "cff-version", "message", "title"],
    "additionalProperties": False,
}
CITATION = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
PAPERS = {  # what the project reproduces: first author, year, number of authors, by arXiv id
    "1803.10122": ("Ha", 2018, 2),
    "1507.08750": ("Oh", 2015, 5),
    "1704.02254": ("Chiappa", 2017, 4),
    "1802.03006": ("Buesing", 2018, 11),
    "1707.06203": ("Weber", 2017, 15),
}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_citation_follows_the_format():
    jsonschema.validate(CITATION, SCHEMA)
    datetime.date.fromisoformat(CITATION["date-released"])


def test_citation_agrees_with_the_package():
    assert str(CITATION["version"]) == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert f"{CITATION['license']} License" in (REPOSITORY / "LICENSE").read_text()


def test_every_paper_that_is_reproduced_is_cited():
    cited = {
        one["url"].removeprefix("https://arxiv.org/abs/"): (
            one["authors"][0]["family-names"],
            one["year"],
            len(one["authors"]),
        )
        for one in CITATION["references"]
    }
    assert cited == PAPERS


def test_pages_of_papers_name_the_titles_and_authors_that_are_cited():
    """A page of one paper begins with its authors, title and link."""
    links = re.compile(r"^(.*): \[(.*)\]\(https://arxiv.org/abs/([\d.]+)\)", re.MULTILINE)
    found = [match for page in (REPOSITORY / "docs").glob("*.md") for match in links.findall(page.read_text())]
    assert {arxiv for _, _, arxiv in found} >= {"1507.08750", "1704.02254"}
    references = {one["url"].rsplit("/", 1)[1]: one for one in CITATION["references"]}
    for authors, title, arxiv in found:
        assert title == references[arxiv]["title"]
        assert authors.split(", ") == [person["family-names"] for person in references[arxiv]["authors"]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda citation: citation.pop("message"),
        lambda citation: citation.update(authors=[]),
        lambda citation: citation.update({"date-released": 20261121}),
        lambda citation: citation.update(licence="MIT"),
        lambda citation: citation["references"][0].pop("type"),
        lambda citation: citation["references"][0]["authors"].append({"family_names": "Ha"}),
    ],
)
def test_the_excerpt_finds_mistakes(spoil):
    spoiled = copy.deepcopy(CITATION)
    spoil(spoiled)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoiled, SCHEMA)
