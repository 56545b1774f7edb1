"""Look at a whole campaign in the FiftyOne App, without changing it: ``boxloop browse``.

session.py         the terminal's side: starts and ends everything
server.py          the App's process
browse_dataset.py  the campaign as a dataset: images, scatter, views, what the App shows of it
plugins/           hides what would only be refused

The dataset lies in a database of its own, beside that of the reviews, and is gone with the session.
Who gets in, and what gets through, is guarded as in a review, by ``boxloop.review.fiftyone.guard``.
"""
