"""The database of the review App: a mongod of the campaign's own, or a MongoDB of the user's."""

from boxloop.review.fiftyone.mongodb.session import open_database

__all__ = ["open_database"]
