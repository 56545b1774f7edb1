"""Log a campaign to MLflow: one parent run, and a child run per iteration.

Everything is logged from the campaign's files, after the fact, so tracking an iteration again
changes nothing, and a kill at any moment is repaired by the next run of the stage.
"""
