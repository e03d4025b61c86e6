"""From a question to the items that answer it: `Query`, `ItemSet`, normalising, search."""

from earthlab.catalog.citation import cite
from earthlab.catalog.everywhere import Arrival, ask_everyone
from earthlab.catalog.facets import Facets
from earthlab.catalog.itemset import Band, Item, ItemSet, Outcome
from earthlab.catalog.normalise import norm_item
from earthlab.catalog.places import suggest_places
from earthlab.catalog.profiles import CollectionProfile, MaskRecipe, find_profile, load_poles
from earthlab.catalog.query import Query, make_query
from earthlab.catalog.search import run_query, search
from earthlab.catalog.tables import catalogs, collections

__all__ = [
    "Arrival",
    "Band",
    "CollectionProfile",
    "Facets",
    "Item",
    "ItemSet",
    "MaskRecipe",
    "Outcome",
    "Query",
    "ask_everyone",
    "catalogs",
    "cite",
    "collections",
    "find_profile",
    "load_poles",
    "make_query",
    "norm_item",
    "run_query",
    "search",
    "suggest_places",
]
